/* import.exe FILE.pfx: puts its certificate with the private key (password "pw") into
 * CurrentUser\My, as the wizard for such files does. */
#include <windows.h>
#include <wincrypt.h>
#include <stdio.h>

static int fail(const char *what)
{
    printf("%s: 0x%08lx\n", what, GetLastError());
    return 1;
}

int wmain(int c, wchar_t **v)
{
    static BYTE data[65536];
    if (c != 2) return 2;
    FILE *f = _wfopen(v[1], L"rb");
    if (!f) return fail("open");
    CRYPT_DATA_BLOB pfx = {fread(data, 1, sizeof data, f), data};
    fclose(f);
    HCERTSTORE from = PFXImportCertStore(&pfx, L"pw", CRYPT_EXPORTABLE | CRYPT_USER_KEYSET);
    if (!from) return fail("PFXImportCertStore");
    HCERTSTORE my = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, CERT_SYSTEM_STORE_CURRENT_USER, L"My");
    if (!my) return fail("CertOpenStore");
    PCCERT_CONTEXT cert = NULL;
    while ((cert = CertEnumCertificatesInStore(from, cert)) != NULL)
        if (!CertAddCertificateContextToStore(my, cert, CERT_STORE_ADD_REPLACE_EXISTING, NULL)) return fail("CertAddCertificateContextToStore");
    if (!CertCloseStore(my, 0)) return fail("CertCloseStore");
    CertCloseStore(from, 0);
    printf("imported\n");
    return 0;
}
