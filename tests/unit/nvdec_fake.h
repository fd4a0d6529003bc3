/* nvdec_fake.h — a card that tests command: the driver's tables with functions that decode nothing.
 *
 * A packet for the fake parser is a string of operations:
 *   S w h d   sequence header: w x h blocks of 16 pixels, d bits a sample; h with bit 7: the lowest 8
 *             rows are not shown
 *   P         a picture                E   a picture that decodes with an error
 *   F         a picture of two fields  L   a single field
 *   H         a hidden picture, V a shown one, X shows the last picture again (VP9)
 *   other bytes do nothing: a picture that the parser loses
 * With `whole`, packets are real ones, each of them a picture of 320 x 240.
 * The surfaces go round. What is mapped has the number of its decoded picture as address / 4096.
 */
#pragma once

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "card/driver.h"

typedef enum fake_call {
    FAKE_GET_CAPS,
    FAKE_CREATE_DECODER,
    FAKE_RECONFIGURE,
    FAKE_DECODE,
    FAKE_MAP,
    FAKE_UNMAP,
    FAKE_CREATE_PARSER,
    FAKE_PARSE,
    FAKE_CREATE_STREAM,
    FAKE_CREATE_EVENT,
    FAKE_RECORD,
    FAKE_WAIT_EVENT,
    FAKE_MEM_ALLOC,
    FAKE_LOAD_MODULE,
    FAKE_LAUNCH,
    FAKE_N_CALLS,
} fake_call;

enum { FAKE_SURFACES = 4, FAKE_ERROR = 999, FAKE_MAPPED_END = 1 << 28 };

typedef struct fake_state {
    atomic_int calls[FAKE_N_CALLS];   /* how often each was called */
    atomic_int fail_at[FAKE_N_CALLS]; /* this call of it fails; 0 = none */
    atomic_int fail_with;             /* with this; 0 = FAKE_ERROR */
    atomic_int memory_for;            /* decoders that fit on the card; 0 = any number */
    atomic_int decoders, parsers, streams, events, mapped, contexts; /* alive */
    atomic_int buffers, modules;                                     /* alive */
    atomic_int no_memory;                                            /* bool: for buffers */
    atomic_int most_decoders, most_mapped;
    atomic_int first_bytes; /* of the last parser's first packet */
    atomic_int whole;       /* bool */
    atomic_int lose_at;     /* whole: this call of the parser, as in `calls`, gives no picture */
} fake_state;
static fake_state fake;

static CUresult fake_result(fake_call call) {
    int n = atomic_fetch_add(&fake.calls[call], 1) + 1;
    if (n != fake.fail_at[call])
        return CUDA_SUCCESS;
    return fake.fail_with ? (CUresult)fake.fail_with : (CUresult)FAKE_ERROR;
}

static void fake_most(atomic_int *most, int n) {
    for (int old = *most; n > old && !atomic_compare_exchange_weak(most, &old, n);)
        ;
}

/* Runs a kernel for z parts; a test that launches some sets it. */
static void (*fake_kernel)(const char *name, int z, void **args);

/* ---- CUDA ---- */

static CUresult CUDAAPI fake_error_name(CUresult result, const char **ret) {
    *ret = (int)result == VX_CUDA_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "FAKE_ERROR";
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_init(unsigned flags) {
    (void)flags;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_device_get(CUdevice *ret, int n) {
    *ret = n;
    return n == 0 ? CUDA_SUCCESS : (CUresult)101;
}
static CUresult CUDAAPI fake_device_name(char *name, int n, CUdevice device) {
    (void)device;
    snprintf(name, (size_t)n, "fake card");
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_retain(CUcontext *ret, CUdevice device) {
    (void)device;
    fake.contexts++;
    *ret = (CUcontext)&fake;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_release(CUdevice device) {
    (void)device;
    fake.contexts--;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_set_flags(CUdevice device, unsigned flags) {
    (void)device, (void)flags;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_push(CUcontext context) {
    (void)context;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_pop(CUcontext *ret) {
    *ret = NULL;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_stream_create(CUstream *ret, unsigned flags) {
    (void)flags;
    CUresult result = fake_result(FAKE_CREATE_STREAM);
    if (result == CUDA_SUCCESS) {
        fake.streams++;
        *ret = (CUstream)&fake.streams;
    }
    return result;
}
static CUresult CUDAAPI fake_stream_destroy(CUstream stream) {
    (void)stream;
    fake.streams--;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_event_create(CUevent *ret, unsigned flags) {
    (void)flags;
    CUresult result = fake_result(FAKE_CREATE_EVENT);
    if (result == CUDA_SUCCESS) {
        fake.events++;
        *ret = (CUevent)&fake.events;
    }
    return result;
}
static CUresult CUDAAPI fake_event_destroy(CUevent event) {
    (void)event;
    fake.events--;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_event_record(CUevent event, CUstream stream) {
    (void)event, (void)stream;
    return fake_result(FAKE_RECORD);
}
/* The card's memory is the host's, but for mapped pictures: all bytes of one are its number modulo 50,
 * darker than the clips of tests. */
static CUresult CUDAAPI fake_copy(const CUDA_MEMCPY2D *copy, CUstream stream) {
    (void)stream;
    bool mapped = copy->srcDevice < FAKE_MAPPED_END;
    for (size_t y = 0; y < copy->Height; y++) {
        char *to = copy->dstMemoryType == CU_MEMORYTYPE_HOST
                       ? (char *)copy->dstHost + y * copy->dstPitch
                       : (char *)(uintptr_t)copy->dstDevice + y * copy->dstPitch;
        if (mapped)
            memset(to, (int)(copy->srcDevice / 4096 - 1) % 50, copy->WidthInBytes);
        else
            memcpy(to, (const char *)(uintptr_t)copy->srcDevice + y * copy->srcPitch,
                   copy->WidthInBytes);
    }
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_copy_in(CUdeviceptr to, const void *from, size_t n, CUstream stream) {
    (void)stream;
    memcpy((void *)(uintptr_t)to, from, n);
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_mem_alloc(CUdeviceptr *ret, size_t n) {
    CUresult result = fake_result(FAKE_MEM_ALLOC);
    if (result != CUDA_SUCCESS)
        return result;
    if (fake.no_memory)
        return (CUresult)VX_CUDA_OUT_OF_MEMORY;
    fake.buffers++;
    *ret = (CUdeviceptr)(uintptr_t)malloc(n);
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_mem_free(CUdeviceptr memory) {
    fake.buffers--;
    free((void *)(uintptr_t)memory);
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_host_alloc(void **ret, size_t n, unsigned flags) {
    (void)flags;
    fake.buffers++;
    *ret = malloc(n);
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_load(CUmodule *ret, const void *image) {
    (void)image;
    CUresult result = fake_result(FAKE_LOAD_MODULE);
    fake.modules += result == CUDA_SUCCESS;
    *ret = (CUmodule)&fake.modules;
    return result;
}
static CUresult CUDAAPI fake_unload(CUmodule module) {
    (void)module;
    fake.modules--;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_get_function(CUfunction *ret, CUmodule module, const char *name) {
    (void)module;
    *ret = (CUfunction)(uintptr_t)name;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_launch(CUfunction function, unsigned x, unsigned y, unsigned z,
                                    unsigned threads_x, unsigned threads_y, unsigned threads_z,
                                    unsigned shared_bytes, CUstream stream, void **args,
                                    void **extra) {
    (void)x, (void)y, (void)threads_x, (void)threads_y, (void)threads_z;
    (void)shared_bytes, (void)stream, (void)extra;
    CUresult result = fake_result(FAKE_LAUNCH);
    if (result == CUDA_SUCCESS && !fake_kernel)
        return (CUresult)FAKE_ERROR;
    if (result == CUDA_SUCCESS)
        fake_kernel((const char *)(void *)function, (int)z, args);
    return result;
}
static CUresult CUDAAPI fake_host_free(void *memory) {
    fake.buffers--;
    free(memory);
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_stream_wait(CUstream stream) {
    (void)stream;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_event_wait(CUevent event) {
    (void)event;
    return fake_result(FAKE_WAIT_EVENT);
}

/* ---- decoder ---- */

typedef struct fake_decoder {
    unsigned long max_w, max_h, n_surfaces;
    uint8_t damaged[64];
    int picture[64]; /* number of the picture in each surface */
    int n_pictures, n_mapped;
} fake_decoder;

static CUresult CUDAAPI fake_get_caps(CUVIDDECODECAPS *caps) {
    CUresult result = fake_result(FAKE_GET_CAPS);
    bool known = caps->eCodecType == cudaVideoCodec_H264 ||
                 caps->eCodecType == cudaVideoCodec_VP9 || caps->eCodecType == cudaVideoCodec_HEVC;
    bool deep = caps->nBitDepthMinus8 > 0;
    caps->bIsSupported = known && (!deep || caps->eCodecType != cudaVideoCodec_H264);
    caps->nOutputFormatMask =
        1 << (deep ? cudaVideoSurfaceFormat_P016 : cudaVideoSurfaceFormat_NV12);
    caps->nMaxWidth = caps->nMaxHeight = 4096;
    caps->nMaxMBCount = 65536;
    caps->nMinWidth = caps->nMinHeight = 48;
    return result;
}
static CUresult CUDAAPI fake_create_decoder(CUvideodecoder *ret, CUVIDDECODECREATEINFO *info) {
    CUresult result = fake_result(FAKE_CREATE_DECODER);
    if (result != CUDA_SUCCESS)
        return result;
    if (fake.memory_for && fake.decoders >= fake.memory_for)
        return (CUresult)VX_CUDA_OUT_OF_MEMORY;
    fake_decoder *d = calloc(1, sizeof *d);
    d->max_w = info->ulMaxWidth;
    d->max_h = info->ulMaxHeight;
    d->n_surfaces = info->ulNumDecodeSurfaces;
    fake_most(&fake.most_decoders, ++fake.decoders);
    *ret = (CUvideodecoder)d;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_destroy_decoder(CUvideodecoder handle) {
    fake_decoder *d = (fake_decoder *)handle;
    if (d->n_mapped != 0)
        abort(); /* destroyed with pictures mapped */
    free(d);
    fake.decoders--;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_reconfigure(CUvideodecoder handle, CUVIDRECONFIGUREDECODERINFO *info) {
    fake_decoder *d = (fake_decoder *)handle;
    CUresult result = fake_result(FAKE_RECONFIGURE);
    if (info->ulTargetWidth != d->max_w || info->ulWidth > d->max_w || info->ulHeight > d->max_h ||
        d->n_mapped != 0)
        return (CUresult)FAKE_ERROR;
    d->n_surfaces = info->ulNumDecodeSurfaces;
    return result;
}
static CUresult CUDAAPI fake_decode(CUvideodecoder handle, CUVIDPICPARAMS *p) {
    fake_decoder *d = (fake_decoder *)handle;
    CUresult result = fake_result(FAKE_DECODE);
    if (p->CurrPicIdx >= (int)d->n_surfaces)
        return (CUresult)FAKE_ERROR;
    d->damaged[p->CurrPicIdx] = p->Reserved[0] != 0;
    if (!p->second_field)
        d->picture[p->CurrPicIdx] = d->n_pictures++;
    return result;
}
static CUresult CUDAAPI fake_status(CUvideodecoder handle, int surface, CUVIDGETDECODESTATUS *ret) {
    fake_decoder *d = (fake_decoder *)handle;
    ret->decodeStatus = d->damaged[surface] ? cuvidDecodeStatus_Error : cuvidDecodeStatus_Success;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_map(CUvideodecoder handle, int surface, CUdeviceptr *ret_address,
                                 unsigned *ret_pitch, CUVIDPROCPARAMS *how) {
    fake_decoder *d = (fake_decoder *)handle;
    CUresult result = fake_result(FAKE_MAP);
    (void)how;
    if (result != CUDA_SUCCESS)
        return result;
    if (d->n_mapped == 8)
        return (CUresult)FAKE_ERROR; /* no more output surfaces */
    fake_most(&fake.most_mapped, ++d->n_mapped);
    fake.mapped++;
    *ret_address = 4096ULL * (unsigned)(d->picture[surface] + 1);
    *ret_pitch = fake.whole ? 0 : 2048; /* so that both planes have the number */
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_unmap(CUvideodecoder handle, CUdeviceptr address) {
    (void)address;
    ((fake_decoder *)handle)->n_mapped--;
    fake.mapped--;
    return fake_result(FAKE_UNMAP);
}

/* ---- parser ---- */

typedef struct fake_parser {
    CUVIDPARSERPARAMS params;
    int surface;
    bool begun;
} fake_parser;

static CUresult CUDAAPI fake_create_parser(CUvideoparser *ret, CUVIDPARSERPARAMS *params) {
    CUresult result = fake_result(FAKE_CREATE_PARSER);
    if (result != CUDA_SUCCESS)
        return result;
    fake_parser *p = calloc(1, sizeof *p);
    p->params = *params;
    fake.parsers++;
    *ret = (CUvideoparser)p;
    return CUDA_SUCCESS;
}
static CUresult CUDAAPI fake_destroy_parser(CUvideoparser parser) {
    free((void *)parser);
    fake.parsers--;
    return CUDA_SUCCESS;
}
static int fake_sequence(fake_parser *p, const uint8_t *o) {
    CUVIDEOFORMAT f = {.codec = p->params.CodecType, .chroma_format = cudaVideoChromaFormat_420};
    f.coded_width = o[1] * 16U;
    f.coded_height = (o[2] & 127) * 16U;
    f.bit_depth_luma_minus8 = f.bit_depth_chroma_minus8 = (unsigned char)(o[3] - 8);
    f.min_num_decode_surfaces = FAKE_SURFACES;
    f.display_area.right = (int)f.coded_width;
    f.display_area.bottom = (int)f.coded_height - (o[2] & 128 ? 8 : 0);
    f.video_signal_description.matrix_coefficients = 2;
    f.video_signal_description.transfer_characteristics = 2;
    return p->params.pfnSequenceCallback(p->params.pUserData, &f);
}
static int fake_picture(fake_parser *p, bool field, bool second, bool damaged) {
    if (!second)
        p->surface = (p->surface + 1) % FAKE_SURFACES;
    CUVIDPICPARAMS pic = {
        .CurrPicIdx = p->surface, .field_pic_flag = field, .second_field = second};
    pic.Reserved[0] = damaged;
    return p->params.pfnDecodePicture(p->params.pUserData, &pic);
}
static int fake_show(fake_parser *p) {
    CUVIDPARSERDISPINFO shown = {.picture_index = p->surface};
    return p->params.pfnDisplayPicture(p->params.pUserData, &shown);
}
static int fake_operation(fake_parser *p, const uint8_t **at) {
    switch (*(*at)++) {
    case 'S':
        *at += 3;
        return fake_sequence(p, *at - 4);
    case 'P':
    case 'H':
        return fake_picture(p, false, false, false);
    case 'E':
        return fake_picture(p, false, false, true);
    case 'F':
        return fake_picture(p, true, false, false) && fake_picture(p, true, true, false);
    case 'L':
        return fake_picture(p, true, false, false);
    case 'V':
        return fake_picture(p, false, false, false) && fake_show(p);
    case 'X':
        return fake_show(p);
    default:
        return 1;
    }
}
static CUresult CUDAAPI fake_parse(CUvideoparser parser, CUVIDSOURCEDATAPACKET *packet) {
    fake_parser *p = (fake_parser *)(void *)parser;
    CUresult result = fake_result(FAKE_PARSE);
    const uint8_t *at = packet->payload, *end = at + packet->payload_size;
    if (!p->begun)
        fake.first_bytes = (int)packet->payload_size;
    static const uint8_t picture[] = "PS\x14\x0f\x08P", nothing[] = "?";
    if (fake.whole) {
        at = fake.calls[FAKE_PARSE] == fake.lose_at ? nothing : p->begun ? picture : picture + 1;
        end = at + (at == picture + 1 ? 5 : 1);
    }
    p->begun = true;
    while (at < end && result == CUDA_SUCCESS)
        if (!fake_operation(p, &at))
            result = (CUresult)FAKE_ERROR;
    return result;
}

static CudaFunctions fake_cuda = {
    .cuInit = fake_init,
    .cuDeviceGet = fake_device_get,
    .cuDeviceGetName = fake_device_name,
    .cuDevicePrimaryCtxRetain = fake_retain,
    .cuDevicePrimaryCtxRelease = fake_release,
    .cuDevicePrimaryCtxSetFlags = fake_set_flags,
    .cuCtxPushCurrent = fake_push,
    .cuCtxPopCurrent = fake_pop,
    .cuStreamCreate = fake_stream_create,
    .cuStreamDestroy = fake_stream_destroy,
    .cuEventCreate = fake_event_create,
    .cuEventDestroy = fake_event_destroy,
    .cuEventRecord = fake_event_record,
    .cuEventSynchronize = fake_event_wait,
    .cuMemcpy2DAsync = fake_copy,
    .cuMemcpyHtoDAsync = fake_copy_in,
    .cuMemAlloc = fake_mem_alloc,
    .cuModuleLoadData = fake_load,
    .cuModuleUnload = fake_unload,
    .cuModuleGetFunction = fake_get_function,
    .cuLaunchKernel = fake_launch,
    .cuMemFree = fake_mem_free,
    .cuStreamSynchronize = fake_stream_wait,
    .cuGetErrorName = fake_error_name,
};
static CuvidFunctions fake_cuvid = {
    .cuvidGetDecoderCaps = fake_get_caps,
    .cuvidCreateDecoder = fake_create_decoder,
    .cuvidDestroyDecoder = fake_destroy_decoder,
    .cuvidReconfigureDecoder = fake_reconfigure,
    .cuvidDecodePicture = fake_decode,
    .cuvidGetDecodeStatus = fake_status,
    .cuvidMapVideoFrame = fake_map,
    .cuvidUnmapVideoFrame = fake_unmap,
    .cuvidCreateVideoParser = fake_create_parser,
    .cuvidDestroyVideoParser = fake_destroy_parser,
    .cuvidParseVideoData = fake_parse,
};
static const vx_card_driver fake_driver = {.cuda = &fake_cuda,
                                           .cuvid = &fake_cuvid,
                                           .host_alloc = fake_host_alloc,
                                           .host_free = fake_host_free,
                                           .has_kernels = true};

static inline void fake_reset(void) {
    memset(&fake, 0, sizeof fake);
}
/* Nothing that was made is left. */
static inline bool fake_is_empty(void) {
    return fake.decoders == 0 && fake.parsers == 0 && fake.streams == 0 && fake.events == 0 &&
           fake.mapped == 0 && fake.contexts == 0 && fake.buffers == 0 && fake.modules == 0;
}
