#include "api/resources/embedding_input.h"

#include <string.h>

static bool take(const char **p, const char *end, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(end - *p) < n || memcmp(*p, word, n))
        return false;
    *p += n;
    return true;
}

/* Reads what follows the type: ";base64," or ";presigned_url,". */
static const char *read_encoding(const char **p, const char *end, vx_input *input) {
    if (take(p, end, ";base64,"))
        return input->is_url = false, NULL;
    if (take(p, end, ";presigned_url,"))
        return input->is_url = true, NULL;
    return "after its type, a data:video input needs ;base64, or ;presigned_url,";
}

/* End of the part that begins at p. A comma belongs to a URL unless a scheme follows it. */
static const char *part_end(const char *p, const char *end, bool is_url) {
    for (; p < end; p++) {
        const char *next = p + 1;
        if (*p == ',' && (!is_url || take(&next, end, "http://") || take(&next, end, "https://")))
            return p;
    }
    return end;
}

static const char *read_pictures(const char *p, const char *end, vx_input *input) {
    static const char wrong_number[] = "video_frames needs exactly 8 pictures, comma separated";
    for (int n = 0;; n++) {
        const char *stop = part_end(p, end, input->is_url);
        if (n == VX_INPUT_FRAMES)
            return wrong_number;
        input->parts[n] = (vx_input_part){p, (size_t)(stop - p)};
        if (stop == p)
            return "a picture is empty; video_frames needs 8, comma separated";
        if (stop == end)
            return n + 1 == VX_INPUT_FRAMES ? NULL : wrong_number;
        p = stop + 1;
    }
}

const char *vx_embedding_input_read(const char *text, size_t n, vx_input *ret_input) {
    const char *p = text, *end = text + n;
    *ret_input = (vx_input){.kind = VX_INPUT_TEXT, .parts = {{text, n}}};
    if (take(&p, end, "data:video_frames/jpg") || take(&p, end, "data:video_frames/jpeg")) {
        ret_input->kind = VX_INPUT_PICTURES;
        const char *problem = read_encoding(&p, end, ret_input);
        return problem ? problem : read_pictures(p, end, ret_input);
    }
    if (take(&p, end, "data:video/")) {
        ret_input->kind = VX_INPUT_VIDEO;
        while (p < end && *p != ';' && *p != ',')
            p++;
        const char *problem = read_encoding(&p, end, ret_input);
        ret_input->parts[0] = (vx_input_part){p, (size_t)(end - p)};
        return problem ? problem : p == end ? "the video is empty" : NULL;
    }
    if (take(&p, end, "data:video") || take(&p, end, "data:image") || take(&p, end, "data:audio") ||
        take(&p, end, "data:application"))
        return "a data: input must be data:video/mp4 or data:video_frames/jpg";
    return NULL;
}
