/* How the line of port.h waits on Windows (8 and later). Declared here: Go's side shall not read all of windows.h. */
#ifndef SP_PORT_WINDOWS_H
#define SP_PORT_WINDOWS_H
#ifndef _WINDOWS_ /* the shim has them from windows.h */
__declspec(dllimport) int __stdcall WaitOnAddress(volatile void *address, void *compare, size_t size, unsigned long milliseconds);
__declspec(dllimport) void __stdcall WakeByAddressSingle(void *address);
#endif

/* while the word has this value, for so long at most; may return early */
static inline void sp_sleep_for(uint32_t *word, uint32_t value, unsigned long milliseconds) { WaitOnAddress(word, &value, sizeof value, milliseconds); }
static inline void sp_sleep(uint32_t *word, uint32_t value) { sp_sleep_for(word, value, ~0ul); }
static inline void sp_wake(uint32_t *word) { WakeByAddressSingle(word); }
#endif
