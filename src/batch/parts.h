/* parts.h — the parts of the product that a run works with; batch.h hands them in. */
#pragma once

#include "collection/collection.h"
#include "extract/extract.h"
#include "ingest/ingest.h"
#include "library/library.h"
#include "writer/writer.h"

/* All borrowed. The first model gives verdicts and duplicates. */
typedef struct vx_batch_parts {
    vx_collection *collection; /* of the catalog in vx_batch_data_dir */
    const vx_extractor *extractor;
    vx_writer *writer;
    vx_ingest *ingest;   /* has room for VX_BATCH_QUEUE videos */
    vx_library *library; /* deletes videos, changes their metadata */
    int workers;         /* threads of ingest, at most VX_BATCH_WORKERS_MAX */
} vx_batch_parts;
