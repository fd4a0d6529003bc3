/* perspective.h — how one picture lies in another where one camera saw the other's picture at an angle: filmed from a
 * screen (private to src/evidence). Threads: any. */
#pragma once

#include "geometry.h"

/* Takes a point of one picture to another: (u, v, w) = m (x, y, 1) is at (u / w, v / w). Pixels, pixel centres at halves. */
typedef struct vx_perspective {
    double m[3][3];
} vx_perspective;

/* The same as a similarity, for pictures of a that are not flipped. w_a_px: width of a. */
vx_perspective vx_perspective_of(const vx_similarity *similarity, int w_a_px);
/* Both, `first` before `then`. */
vx_perspective vx_perspective_chain(const vx_perspective *first, const vx_perspective *then);
/* The way back. False: it has none. */
bool vx_perspective_invert(const vx_perspective *perspective, vx_perspective *ret);
/* A point of a in b. False: it is behind the camera. */
bool vx_perspective_apply(const vx_perspective *perspective, double x, double y, double *ret_x,
                          double *ret_y);

/* Fits a perspective to the pairs of features of a (flipped if the similarity is mirrored) and b, growing from those that
 * nearly agree with the similarity. False: no more of them agree with it than with the similarity, or hardly. The same
 * features give the same result. Cost: 0.3 ms. */
bool vx_perspective_find(const vx_orb *a, const vx_orb *b, const vx_similarity *similarity,
                         vx_perspective *ret_perspective);
