/* uncased.h — what the tokenizer of uncased BERT makes of one character; private to src/embed/.
 *
 * The rules, in this order: control characters vanish, white space becomes a space, canonical
 * decomposition (NFD), nonspacing marks vanish, lower case. Every step looks at one character
 * alone, so a text can be folded as it is read.
 * Canonical reordering is left out: it moves only marks that are kept, which are in no vocabulary
 * of this kind, so that their word is [UNK] in either order. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { VX_UNCASED_MAX_OUT = 4 }; /* no canonical decomposition is longer */

typedef struct vx_uncased {
    int32_t c;  /* a code point; ' ' ends a word */
    bool alone; /* a word of its own: punctuation and CJK ideographs */
} vx_uncased;

/* `c` is a valid code point. Fills ret_out and returns how many, 0..VX_UNCASED_MAX_OUT. */
int vx_uncased_fold(int32_t c, vx_uncased ret_out[VX_UNCASED_MAX_OUT]);
