package native

import (
	"archive/zip"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signpath/e2e/rig"
)

// nss makes a database of NSS that has the module and trusts the service's authority.
func (j *job) nss(t *testing.T) (database, pin string) {
	t.Helper()
	dir := filepath.Join(j.dir, "nss")
	database = "sql:" + dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j.run(t, "certutil", "-N", "-d", database, "--empty-password").OK(t)
	// FRIENDLY: certificates may be read before login
	j.run(t, "modutil", "-dbdir", database, "-add", "signpath", "-libfile", j.y.Module(t), "-mechanisms", "FRIENDLY", "-force").OK(t)
	j.run(t, "certutil", "-A", "-d", database, "-n", "root", "-t", ",,C", "-i", j.s.File("ca.pem")).OK(t)
	// NSS wants the issuer of object signing certificates to be trusted for that itself
	j.run(t, "certutil", "-A", "-d", database, "-n", "issuer", "-t", ",,C", "-i", j.issuers).OK(t)
	return database, rig.Write(t, filepath.Join(j.dir, "pin"), []byte("CONFIG\n"))
}

// signtool is NSS's, in a folder of its own: it extracts each file to "signtool.tmp" in
// the working folder, where two of them at once would read each other's.
func (j *job) signtool(t *testing.T, args ...string) *rig.Result {
	t.Helper()
	return j.run(t, "env", append([]string{"-C", j.dir, "signtool"}, args...)...)
}

const objectSigner = "6" // certUsageObjectSigner

func nssClients() []client {
	nickname := func(j *job) string { return "SignPath:" + rig.Project + "/" + j.key }
	return []client{
		{name: "cmsutil", where: anywhere, early: true, digest: cmsDigest,
			sign: func(t *testing.T, j *job) *rig.Result {
				db, pin := j.nss(t)
				return j.run(t, "cmsutil", "-S", "-d", db, "-N", nickname(j), "-f", pin, "-u", objectSigner, "-H", "SHA256", "-T", "-G", "-Y", "NONE", "-i", j.file, "-o", j.out)
			},
			judge: func(t *testing.T, j *job) {
				j.opensslCMS(t, "DER", j.out)
				verify := func(file string) *rig.Result {
					return j.run(t, "cmsutil", "-D", "-d", "sql:"+filepath.Join(j.dir, "nss"), "-f", filepath.Join(j.dir, "pin"), "-u", objectSigner, "-c", file, "-i", j.out, "-o", os.DevNull)
				}
				verify(j.file).OK(t)
				verify(j.tampered).Fails(t)
			}},
		{name: "signtool", where: anywhere, early: true, // NSS's, for archives
			sign: func(t *testing.T, j *job) *rig.Result {
				db, _ := j.nss(t)
				tree := filepath.Join(j.dir, "tree")
				if err := os.MkdirAll(tree, 0o700); err != nil {
					t.Fatal(err)
				}
				rig.Write(t, filepath.Join(tree, "hello.txt"), j.content(t))
				return j.signtool(t, "-d", db, "-k", nickname(j), "-t", "SignPath", "-p", "CONFIG", "-Z", j.out, tree)
			},
			judge: func(t *testing.T, j *job) {
				der, signed := jarBlock(t, j.out)
				j.s.OpenSSLAccepts(t, der, signed)
				verify := func(file string) *rig.Result {
					return j.signtool(t, "-d", "sql:"+filepath.Join(j.dir, "nss"), "-v", file)
				}
				verify(j.out).OK(t).Says(t, "has passed crypto verification")
				verify(tamperJar(t, j.out)).Says(t, "HASH FAILED   hello.txt")
			},
			digest: func(t *testing.T, j *job) []byte {
				der, signed := jarBlock(t, j.out)
				return rig.ParseCMS(t, der).Digest(t, signed)
			}},
		{name: "certutil", where: anywhere, // a request for an existing key, named by its id
			sign: func(t *testing.T, j *job) *rig.Result {
				db, pin := j.nss(t)
				return j.run(t, "certutil", "-R", "-d", db, "-h", "SignPath", "-f", pin, "-k", hex.EncodeToString([]byte(rig.Project+"/"+j.key)), "-Z", "SHA256", "-s", "CN=hello", "-a", "-o", j.out)
			},
			judge: func(t *testing.T, j *job) { j.opensslCSR(t, j.out) }},
	}
}

// jarBlock takes the signature of an archive and what it covers.
func jarBlock(t *testing.T, archive string) (der, signed []byte) {
	t.Helper()
	for _, f := range rig.Unzip(t, archive) {
		switch strings.ToLower(filepath.Ext(f.Name)) {
		case ".rsa", ".ec", ".dsa":
			der = f.Content
		case ".sf":
			signed = f.Content
		}
	}
	if der == nil || signed == nil {
		t.Fatal("the archive is not signed")
	}
	return der, signed
}

// tamperJar copies an archive with one changed bit of its first file.
func tamperJar(t *testing.T, archive string) string {
	t.Helper()
	out := archive + ".tampered"
	w := rig.Must(os.Create(out))
	z := zip.NewWriter(w)
	for _, f := range rig.Unzip(t, archive) {
		content := append([]byte{}, f.Content...)
		if strings.HasSuffix(f.Name, ".txt") {
			content[0] ^= 1
		}
		stored := &zip.FileHeader{Name: f.Name, CRC32: crc32.ChecksumIEEE(content), CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content))}
		_ = rig.Must(rig.Must(z.CreateRaw(stored)).Write(content)) // NSS does not read lengths behind the data
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNSSLists is certutil: certificates without login, private keys with it.
func TestNSSLists(t *testing.T) {
	s := rig.TheService(t)
	for _, y := range anywhere {
		if y != rig.Here && !rig.All {
			continue
		}
		t.Run(y.Name, func(t *testing.T) {
			j := newJob(t, s, y, "p256")
			db, pin := j.nss(t)
			j.run(t, "modutil", "-dbdir", db, "-list").OK(t).Says(t, "token: SignPath")
			certificates := j.run(t, "certutil", "-L", "-d", db, "-h", "SignPath").OK(t)
			keys := j.run(t, "certutil", "-K", "-d", db, "-h", "SignPath", "-f", pin).OK(t)
			for _, k := range rig.Keys() {
				certificates.Says(t, "SignPath:"+rig.Project+"/"+k+" ")
				keys.Says(t, rig.Project+"/"+k)
			}
		})
	}
}
