/* place.h — where all of one video's picture lies in the other's, found without features (private to src/evidence).
 *
 * A small picture in a picture and flat film have no corners that could be found again. So each is laid on the other in
 * every place and in several sizes, both so small that this is cheap, and what looks most alike over some moments is made
 * exact. How they move must say whether it is right: the best place is found whether there is a right one or not.
 *
 * Threads: any.
 */
#pragma once

#include "motion.h"
#include "perspective.h"

typedef struct vx_place {
    vx_perspective a_in_b; /* pixels; of pictures of a that are not flipped */
    float alike;           /* correlation of the pictures there, their mean */
} vx_place;

/* Finds the places at which the pictures of some moments are most alike, at speed 1 and any offset: that of all of b in a,
 * and that of all of a in b. mirrored: with a flipped left to right. ret_places [2]; gives how many there are.
 * Cost: 20 ms for 10 s. Returns 0 or -ENOMEM. */
int vx_place_find(const vx_footage *a, const vx_footage *b, bool mirrored, vx_place ret_places[2],
                  int *ret_n, vx_err *err);
