// A stand-in for a built program or DLL; the text tells which one it is.
const char *answer(void);
const char *answer(void) { return ANSWER; }
int main(void) { return answer()[0] == 0; }
