/* A Windows library; see hello.c for its text. */
static const char text[] = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@";

__declspec(dllexport) const char *answer(void) { return text; }

int __stdcall start(void *module, unsigned reason, void *reserved)
{
	(void)module, (void)reason, (void)reserved;
	return 1;
}
