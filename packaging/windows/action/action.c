// The installer's own actions. Windows Installer loads this DLL and calls the exported
// functions, with the rights of the installer, while it installs or removes:
//
//   RegisterKsp                    makes Windows know SignPathKSP at once, without a restart
//   UnregisterKsp                  makes Windows forget it, and it alone
//   RemoveUntouchedConfiguration   removes the configuration file if nobody has edited it;
//                                  CustomActionData is its path. A file that came with an
//                                  older version and had other bytes counts as edited.
//
// In go handles of the installer, out come ERROR_SUCCESS and lines in its log. It never
// fails an installation, never starts anything, never uses the network, and never removes
// a name from the list of providers that is not ours: the list belongs to Windows.
//
// Why not the tables alone: CNG keeps the list of providers in memory and reads the
// registry when Windows starts; BCryptAddContextFunctionProvider changes both. And not
// every installer that reads the tables removes a single name from a list.
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <bcrypt.h>
#include <msi.h>
#include <msiquery.h>
#include <stdio.h>
#include <wchar.h>

#include "skeleton.h" // static const unsigned char skeleton[]: the file as it is installed

// Free compilers' bcrypt.h has the types of these three, not their declarations.
NTSTATUS WINAPI BCryptRegisterProvider(LPCWSTR, ULONG, PCRYPT_PROVIDER_REG);
NTSTATUS WINAPI BCryptAddContextFunctionProvider(ULONG, LPCWSTR, ULONG, LPCWSTR, LPCWSTR, ULONG);
NTSTATUS WINAPI BCryptRemoveContextFunctionProvider(ULONG, LPCWSTR, ULONG, LPCWSTR, LPCWSTR);

static const WCHAR provider[] = L"SignPathKSP", function[] = L"KEY_STORAGE";
static const WCHAR list_key[] = L"SYSTEM\\CurrentControlSet\\Control\\Cryptography\\Configuration\\Local\\Default\\00010001\\KEY_STORAGE";
enum { key_storage_interface = 0x00010001, list_limit = 65536 };

// say writes a line into the installer's log.
static void say(MSIHANDLE install, const char *what, long code)
{
	WCHAR text[300];
	MSIHANDLE record = MsiCreateRecord(0);
	if (!record)
		return;
	_snwprintf(text, 300, code ? L"SignPath: %hs (0x%08lX)" : L"SignPath: %hs", what, code);
	text[299] = 0;
	MsiRecordSetStringW(record, 0, text);
	MsiProcessMessage(install, INSTALLMESSAGE_INFO, record);
	MsiCloseHandle(record);
}

// copy_list copies the names of a list (each ends with NUL, the list with another) but for
// ours, and appends ours if wanted. It returns the new length in characters, both ends
// included; to needs room for that.
static DWORD copy_list(const WCHAR *from, DWORD length, WCHAR *to, BOOL with_ours)
{
	DWORD at = 0, n, used = 0;
	while (at < length && from[at]) {
		for (n = 0; at + n < length && from[at + n]; n++)
			;
		if (n != wcslen(provider) || _wcsnicmp(from + at, provider, n)) {
			memcpy(to + used, from + at, n * sizeof(WCHAR));
			used += n;
			to[used++] = 0;
		}
		at += n + 1;
	}
	if (with_ours) {
		wcscpy(to + used, provider);
		used += wcslen(provider) + 1;
	}
	to[used++] = 0;
	return used;
}

// remove_empty removes a key that has nothing in it, and those above it that then have
// nothing: they exist only where no other provider is.
static void remove_empty(void)
{
	WCHAR path[sizeof list_key / sizeof *list_key], *end;
	DWORD keys, values;
	HKEY key;
	wcscpy(path, list_key);
	for (;;) {
		if (RegOpenKeyExW(HKEY_LOCAL_MACHINE, path, 0, KEY_READ | KEY_WOW64_64KEY, &key))
			return;
		if (RegQueryInfoKeyW(key, NULL, NULL, NULL, &keys, NULL, NULL, &values, NULL, NULL, NULL, NULL))
			keys = 1;
		RegCloseKey(key);
		if (keys || values || RegDeleteKeyExW(HKEY_LOCAL_MACHINE, path, KEY_WOW64_64KEY, 0))
			return;
		end = wcsrchr(path, L'\\');
		if (!end || !wcscmp(end, L"\\Cryptography"))
			return;
		*end = 0;
	}
}

// change_list has our name in the list once, at its end, or not at all; nothing is written
// when that is so already. A list of another type is left alone.
static LONG change_list(BOOL with_ours)
{
	static WCHAR old[list_limit], changed[list_limit + 16];
	DWORD type, bytes = sizeof old, length = 0, disposition;
	HKEY key;
	LONG error = with_ours ? RegCreateKeyExW(HKEY_LOCAL_MACHINE, list_key, 0, NULL, 0, KEY_READ | KEY_WRITE | KEY_WOW64_64KEY, NULL, &key, &disposition)
			       : RegOpenKeyExW(HKEY_LOCAL_MACHINE, list_key, 0, KEY_READ | KEY_WRITE | KEY_WOW64_64KEY, &key);
	if (error)
		return error == ERROR_FILE_NOT_FOUND ? 0 : error;
	error = RegQueryValueExW(key, L"Providers", NULL, &type, (BYTE *)old, &bytes);
	if (!error && type != REG_MULTI_SZ)
		error = ERROR_INVALID_DATATYPE;
	if (!error)
		length = bytes / sizeof(WCHAR);
	if (error == ERROR_FILE_NOT_FOUND)
		error = 0;
	if (!error) {
		DWORD n = copy_list(old, length, changed, with_ours);
		if (n == 1) // nothing is left
			error = length ? RegDeleteValueW(key, L"Providers") : 0;
		else if (n != length || memcmp(old, changed, n * sizeof(WCHAR)))
			error = RegSetValueExW(key, L"Providers", 0, REG_MULTI_SZ, (BYTE *)changed, n * sizeof(WCHAR));
	}
	RegCloseKey(key);
	if (!with_ours)
		remove_empty();
	return error;
}

UINT __stdcall RegisterKsp(MSIHANDLE install)
{
	static WCHAR image[] = L"SignPath.Ksp.dll", name[] = L"KEY_STORAGE", *names[] = {name};
	CRYPT_INTERFACE_REG interface_registration = {.dwInterface = key_storage_interface, .dwFlags = CRYPT_LOCAL, .cFunctions = 1, .rgpszFunctions = names};
	CRYPT_INTERFACE_REG *interfaces[] = {&interface_registration};
	CRYPT_IMAGE_REG user_mode = {.pszImage = image, .cInterfaces = 1, .rgpInterfaces = interfaces};
	CRYPT_PROVIDER_REG registration = {.pUM = &user_mode};
	LONG error;
	NTSTATUS status = BCryptRegisterProvider(provider, CRYPT_OVERWRITE, &registration);
	if (!status)
		status = BCryptAddContextFunctionProvider(CRYPT_LOCAL, NULL, key_storage_interface, function, provider, CRYPT_PRIORITY_BOTTOM);
	if (status)
		say(install, "Windows did not take SignPathKSP as a provider at once; it will after a restart", status);
	error = change_list(TRUE);
	if (error)
		say(install, "SignPathKSP could not be added to the list of key storage providers", error);
	else if (!status)
		say(install, "SignPathKSP is registered", 0);
	return ERROR_SUCCESS;
}

UINT __stdcall UnregisterKsp(MSIHANDLE install)
{
	NTSTATUS status = BCryptRemoveContextFunctionProvider(CRYPT_LOCAL, NULL, key_storage_interface, function, provider);
	LONG error = change_list(FALSE);
	if (status)
		say(install, "Windows keeps SignPathKSP in mind until it is restarted", status);
	if (error)
		say(install, "SignPathKSP could not be removed from the list of key storage providers", error);
	else
		say(install, "SignPathKSP is not registered any more", 0);
	return ERROR_SUCCESS;
}

UINT __stdcall RemoveUntouchedConfiguration(MSIHANDLE install)
{
	static WCHAR path[4096];
	static unsigned char content[sizeof skeleton + 1];
	DWORD length = 4096, got = 0;
	FILE_DISPOSITION_INFO gone = {TRUE};
	BOOL ok;
	HANDLE file;
	if (MsiGetPropertyW(install, L"CustomActionData", path, &length) || !length)
		return ERROR_SUCCESS;
	// One handle, no links followed: what is compared is what is removed.
	file = CreateFileW(path, GENERIC_READ | DELETE, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, NULL);
	if (file == INVALID_HANDLE_VALUE)
		return ERROR_SUCCESS;
	ok = ReadFile(file, content, sizeof content, &got, NULL);
	if (!ok || got != sizeof skeleton || memcmp(content, skeleton, got))
		say(install, "the configuration file was edited and stays", 0);
	else if (!SetFileInformationByHandle(file, FileDispositionInfo, &gone, sizeof gone))
		say(install, "the configuration file could not be removed", GetLastError());
	CloseHandle(file);
	return ERROR_SUCCESS;
}
