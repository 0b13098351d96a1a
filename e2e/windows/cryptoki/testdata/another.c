/* A PKCS #11 module of somebody else, as far as doctor looks; with -DDYING one that takes its process along. */
#include <windows.h>
#include <stdlib.h>

__declspec(dllexport) unsigned long C_GetFunctionList(void **list) {
	static void *functions[70];
	*list = functions;
	return 0;
}

#ifdef DYING
BOOL WINAPI DllMain(HINSTANCE self, DWORD why, void *reserved) {
	if (why == DLL_PROCESS_ATTACH) TerminateProcess(GetCurrentProcess(), 0xC0000005);
	return TRUE;
}
#endif
