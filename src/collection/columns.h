/* columns.h — the columns of filters, for collection.c (private to src/collection). */
#pragma once

#include "base/err.h"

struct vx_collection;

/* Reads the columns from the catalog and keeps them up. NULL-safe at the end. */
int vx_collection_open_columns(struct vx_collection *collection, vx_err *err);
void vx_collection_close_columns(struct vx_collection *collection);
