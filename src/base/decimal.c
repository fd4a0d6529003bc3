#include "decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void vx_decimal_double(double value, char ret_text[VX_DECIMAL_BYTES]) {
    snprintf(ret_text, VX_DECIMAL_BYTES, "%.15g", value);
    if (strtod(ret_text, NULL) != value)
        snprintf(ret_text, VX_DECIMAL_BYTES, "%.17g", value);
}

void vx_decimal_float(float value, char ret_text[VX_DECIMAL_BYTES]) {
    snprintf(ret_text, VX_DECIMAL_BYTES, "%.6g", (double)value);
    if (strtof(ret_text, NULL) != value)
        snprintf(ret_text, VX_DECIMAL_BYTES, "%.9g", (double)value);
}

/* Whole numbers of up to six digits are what "%.6g" writes: most scores and shares are 0 or 1. */
double vx_decimal_of_float(float value) {
    if (value == truncf(value) && fabsf(value) < 1e6F)
        return (double)value;
    char text[VX_DECIMAL_BYTES];
    vx_decimal_float(value, text);
    return strtod(text, NULL);
}
