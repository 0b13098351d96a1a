/* A program for macOS, to be signed. */
#include <stdio.h>
int main(void) { return puts("hello") < 0; }
