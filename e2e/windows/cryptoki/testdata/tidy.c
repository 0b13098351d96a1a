/* A library of a host that ends its use of the module where many do: in DllMain, when the process has ended its other
 * threads already. With -DEARLY it calls C_Initialize there when it is loaded, which no library may do: the module must
 * say so and not hang. */
#include "pkcs11.h"
#include <stdio.h>

static void say(const char *what, UL rv) {
	char text[80];
	DWORD n = (DWORD)snprintf(text, sizeof text, "%s answers 0x%lx\n", what, rv), written;
	WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), text, n, &written, 0);
}

#ifdef EARLY
BOOL WINAPI DllMain(HINSTANCE self, DWORD why, void *reserved) {
	char path[MAX_PATH];
	if (why == DLL_PROCESS_ATTACH && GetEnvironmentVariableA("EARLY_MODULE", path, sizeof path)) {
		FN initialize = (FN)(void *)GetProcAddress(LoadLibraryA(path), "C_Initialize");
		if (initialize) say("C_Initialize in DllMain", initialize(0));
	}
	return TRUE;
}
#else
static LIST_T *p11;
__declspec(dllexport) void take(LIST_T *list) { p11 = list; }

BOOL WINAPI DllMain(HINSTANCE self, DWORD why, void *reserved) {
	SESSION_T state;
	if (why == DLL_PROCESS_DETACH && p11) {
		say("C_GetSessionInfo", p11->f[GetSessionInfo](1, &state));
		say("C_Finalize", p11->f[Finalize](0));
		say("C_Initialize", p11->f[Initialize](0));
	}
	return TRUE;
}
#endif
