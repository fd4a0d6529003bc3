/* decimal.h — numbers as the shortest decimal text that reads back the same.
 *
 * One spelling wherever a number is shown: an answer, a job's report and a line of clips.jsonl name
 * the same score by the same digits. Values must be finite. Threads: any (pure functions).
 */
#pragma once

#define VX_DECIMAL_BYTES 32

/* Up to 17 digits, "1" and "1e+30" included: JSON's numbers. */
void vx_decimal_double(double value, char ret_text[VX_DECIMAL_BYTES]);
/* Up to 9 digits. */
void vx_decimal_float(float value, char ret_text[VX_DECIMAL_BYTES]);
/* The double that shows the float's own digits, for writers that take doubles: 0.1f gives 0.1 and not
 * 0.10000000149. Those write it with 9 digits or more. */
double vx_decimal_of_float(float value);
