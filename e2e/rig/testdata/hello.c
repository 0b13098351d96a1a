/* A Windows program without a C library. The tests put a text of their own in
   place of the one below, so that no two programs have one digest. */
__declspec(dllimport) void *__stdcall GetStdHandle(unsigned);
__declspec(dllimport) int __stdcall WriteFile(void *, const void *, unsigned, unsigned *, void *);
__declspec(dllimport) void __stdcall ExitProcess(unsigned);

static const char text[] = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n";

void start(void)
{
	unsigned n;
	WriteFile(GetStdHandle((unsigned)-11), text, sizeof text - 1, &n, 0);
	ExitProcess(0);
}
