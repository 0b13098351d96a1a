/* wintrust.dll: a proxy before Wine's own, which it knows as wwintrust.dll (wintrust.def forwards to it). It adds the one
 * function by which signtool's /ph and /nph choose whether signatures of programs have page digests; Wine lacks it. */
#include <windows.h>

void WINAPI WintrustSetDefaultIncludePEPageHashes(BOOL include)
{
    void(WINAPI * set)(BOOL) = (void(WINAPI *)(BOOL))(void *)GetProcAddress(LoadLibraryA("testsip.dll"), "SIPSetPageHashes");
    if (set) set(include);
}
