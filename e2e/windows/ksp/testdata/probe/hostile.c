/* The step hostile|KEY NAME: every function with NULL pointers, pointers that lead nowhere, handles that are none. One line
 * per call: function, what is wrong, status. A crash is what the test is for. */
#include "probe.h"

static Handle provider, key, freed_provider, freed_key;
static DWORD size, length; /* length: of the key's signatures */
static BYTE buffer[4096];

#define SAY(what, expr)                                                  \
    do {                                                                 \
        SECURITY_STATUS st;                                              \
        CALL(st, expr);                                                  \
        fprintf(out, "%s: 0x%08lx\n", what, (unsigned long)st);          \
    } while (0)

static void pointers(const char *kind, void *p)
{
    char what[100];
    Handle h;
    void *block = NULL;
    PVOID state = NULL;
    BCRYPT_PKCS1_PADDING_INFO info = {(LPCWSTR)p}, good = {L"SHA256"};
#define TRY(name, expr)                                \
    do {                                               \
        snprintf(what, sizeof what, "%s %s", kind, name); \
        SAY(what, expr);                               \
    } while (0)
    TRY("OpenProvider.phProvider", table->OpenProvider(p, L"x", 0));
    TRY("OpenKey.phKey", table->OpenKey(provider, p, L"a/b", 0, 0));
    TRY("OpenKey.pszKeyName", table->OpenKey(provider, &h, p, 0, 0));
    TRY("GetProviderProperty.pszProperty", table->GetProviderProperty(provider, p, buffer, 4096, &size, 0));
    TRY("GetProviderProperty.pcbResult", table->GetProviderProperty(provider, L"Name", buffer, 4096, p, 0));
    TRY("GetKeyProperty.pszProperty", table->GetKeyProperty(provider, key, p, buffer, 4096, &size, 0));
    TRY("GetKeyProperty.pcbResult", table->GetKeyProperty(provider, key, L"Name", buffer, 4096, p, 0));
    TRY("SetProviderProperty.pszProperty", table->SetProviderProperty(provider, p, buffer, 4, 0));
    TRY("SetProviderProperty.pbInput", table->SetProviderProperty(provider, L"Use Context", p, 4, 0));
    TRY("SetKeyProperty.pszProperty", table->SetKeyProperty(provider, key, p, buffer, 4, 0));
    TRY("SetKeyProperty.pbInput", table->SetKeyProperty(provider, key, L"Use Context", p, 4, 0));
    TRY("FreeBuffer.pvInput", table->FreeBuffer(p));
    TRY("IsAlgSupported.pszAlgId", table->IsAlgSupported(provider, p, 0));
    TRY("EnumAlgorithms.pdwAlgCount", table->EnumAlgorithms(provider, 0, p, (NCryptAlgorithmName **)&block, 0));
    TRY("EnumAlgorithms.ppAlgList", table->EnumAlgorithms(provider, 0, &size, p, 0));
    TRY("EnumKeys.ppKeyName", table->EnumKeys(provider, NULL, p, &state, 0));
    TRY("EnumKeys.ppEnumState", table->EnumKeys(provider, NULL, (NCryptKeyName **)&block, p, 0));
    TRY("ExportKey.pszBlobType", table->ExportKey(provider, key, 0, p, NULL, buffer, 4096, &size, 0));
    TRY("ExportKey.pcbResult", table->ExportKey(provider, key, 0, L"PUBLICBLOB", NULL, buffer, 4096, p, 0));
    TRY("SignHash.pPaddingInfo", table->SignHash(provider, key, p, buffer, 32, buffer, 4096, &size, BCRYPT_PAD_PKCS1));
    TRY("SignHash.pbHashValue", table->SignHash(provider, key, &good, p, 32, buffer, 4096, &size, BCRYPT_PAD_PKCS1));
    TRY("SignHash.pcbResult", table->SignHash(provider, key, &good, buffer, 32, buffer, 4096, p, BCRYPT_PAD_PKCS1));
    TRY("VerifySignature.pPaddingInfo", table->VerifySignature(provider, key, p, buffer, 32, buffer, length, BCRYPT_PAD_PKCS1));
    TRY("VerifySignature.pbHashValue", table->VerifySignature(provider, key, &good, p, 32, buffer, length, BCRYPT_PAD_PKCS1));
    TRY("VerifySignature.pbSignature", table->VerifySignature(provider, key, &good, buffer, 32, p, length, BCRYPT_PAD_PKCS1));
    if (!p) return; /* NULL has a meaning here: a question for the size, a digest without an algorithm */
    TRY("GetProviderProperty.pbOutput", table->GetProviderProperty(provider, L"Name", p, 4096, &size, 0));
    TRY("GetKeyProperty.pbOutput", table->GetKeyProperty(provider, key, L"Name", p, 4096, &size, 0));
    TRY("ExportKey.pbOutput", table->ExportKey(provider, key, 0, L"PUBLICBLOB", NULL, p, 4096, &size, 0));
    TRY("SignHash.pPaddingInfo.pszAlgId", table->SignHash(provider, key, &info, buffer, 32, buffer, 4096, &size, BCRYPT_PAD_PKCS1));
}

static void handles(const char *kind, Handle p, Handle k)
{
    char what[100];
    Handle h;
    void *block = NULL;
    PVOID state = NULL;
    BCRYPT_PKCS1_PADDING_INFO good = {L"SHA256"};
    TRY("OpenKey", table->OpenKey(p, &h, L"a/b", 0, 0));
    TRY("CreatePersistedKey", table->CreatePersistedKey(p, &h, L"RSA", L"a/b", 0, 0));
    TRY("GetProviderProperty", table->GetProviderProperty(p, L"Name", buffer, 4096, &size, 0));
    TRY("GetKeyProperty", table->GetKeyProperty(provider, k, L"Name", buffer, 4096, &size, 0));
    TRY("SetProviderProperty", table->SetProviderProperty(p, L"Use Context", buffer, 4, 0));
    TRY("SetKeyProperty", table->SetKeyProperty(provider, k, L"Use Context", buffer, 4, 0));
    TRY("FinalizeKey", table->FinalizeKey(provider, k, 0));
    TRY("DeleteKey", table->DeleteKey(provider, k, 0));
    TRY("Encrypt", table->Encrypt(provider, k, buffer, 4, NULL, buffer, 4096, &size, 0));
    TRY("Decrypt", table->Decrypt(provider, k, buffer, 4, NULL, buffer, 4096, &size, 0));
    TRY("IsAlgSupported", table->IsAlgSupported(p, L"RSA", 0));
    TRY("EnumAlgorithms", table->EnumAlgorithms(p, 0, &size, (NCryptAlgorithmName **)&block, 0));
    TRY("EnumKeys", table->EnumKeys(p, NULL, (NCryptKeyName **)&block, &state, 0));
    TRY("ImportKey", table->ImportKey(p, 0, L"RSAPUBLICBLOB", NULL, &h, buffer, 4, 0));
    TRY("ExportKey", table->ExportKey(provider, k, 0, L"PUBLICBLOB", NULL, buffer, 4096, &size, 0));
    TRY("SignHash", table->SignHash(provider, k, &good, buffer, 32, buffer, 4096, &size, BCRYPT_PAD_PKCS1));
    TRY("VerifySignature", table->VerifySignature(provider, k, &good, buffer, 32, buffer, length, BCRYPT_PAD_PKCS1));
    TRY("PromptUser", table->PromptUser(provider, k, L"sign", 0));
    TRY("NotifyChangeKey", table->NotifyChangeKey(p, NULL, 0));
    TRY("SecretAgreement", table->SecretAgreement(provider, k, k, &h, 0));
    TRY("DeriveKey", table->DeriveKey(p, k, L"HASH", NULL, buffer, 4096, &size, 0));
    TRY("FreeSecret", table->FreeSecret(p, k));
    TRY("FreeKey", table->FreeKey(provider, k));
    TRY("FreeProvider", table->FreeProvider(p));
}

int hostile(wchar_t **f, int n)
{
    if (wcscmp(f[0], L"hostile") || n < 2) return 0;
    SAY("open", table->OpenProvider(&freed_provider, L"x", 0));
    SAY("open", table->OpenProvider(&provider, L"x", 0));
    SAY("key", table->OpenKey(provider, &freed_key, f[1], 0, 0));
    SAY("key", table->OpenKey(provider, &key, f[1], 0, 0));
    SAY("free", table->FreeProvider(freed_provider));
    SAY("free", table->FreeKey(provider, freed_key));
    SAY("size", table->SignHash(provider, key, NULL, buffer, 32, NULL, 0, &length, BCRYPT_PAD_PKCS1));
    pointers("NULL", NULL);
    pointers("low", (void *)16);
    /* a page that was there (its place is not given to somebody else), one that may not be touched, one that warns when it is */
    void *gone = VirtualAlloc(NULL, 65536, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    void *closed = VirtualAlloc(NULL, 65536, MEM_COMMIT | MEM_RESERVE, PAGE_NOACCESS);
    void *guard = VirtualAlloc(NULL, 65536, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE | PAGE_GUARD);
    VirtualFree(gone, 65536, MEM_DECOMMIT);
    pointers("wild", gone);
    pointers("closed", closed);
    pointers("guard", guard);
    handles("zero", 0, 0);
    handles("freed", freed_provider, freed_key);
    handles("swapped", key, provider);
    handles("foreign", 0x12345678, (Handle)buffer);
    handles("valid", provider, key);
    fprintf(out, "hostile: survived\n");
    return 1;
}
