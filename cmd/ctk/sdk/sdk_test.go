package main

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	libraries, err := read(files)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, l := range libraries {
		for _, s := range l.symbols {
			if s.source == "" {
				t.Errorf("%s has no source", s.name)
			}
			found[s.name] = l.name
		}
	}
	for symbol, library := range map[string]string{
		"_NSExtensionMain":                                "Foundation",
		"_OBJC_CLASS_$_NSData":                            "Foundation",
		"_OBJC_METACLASS_$_TKToken":                       "CryptoTokenKit",
		"_OBJC_CLASS_$_NSObject":                          "objc",
		"_kSecKeyAlgorithmECDSASignatureDigestX962":       "Security",
		"_SecItemCopyMatching":                            "Security",
		"_kCFAllocatorDefault":                            "CoreFoundation",
		"_res_9_nsearch":                                  "resolv",
		"_kSecKeyAlgorithmRSASignatureDigestPKCS1v15SHA1": "Security",
	} {
		if found[symbol] != library {
			t.Errorf("%s is of %q, want %s", symbol, found[symbol], library)
		}
	}
}

func TestRefused(t *testing.T) {
	table := &fstest.MapFile{Data: []byte("# nothing\n")}
	for name, c := range map[string]struct{ header, table, want string }{
		"no source":     {"// library: /X 1\nextern int f(void);\n", "", "without the line that names its source"},
		"no library":    {"// source: a.h\nextern int f(void);\n", "", "without the line"},
		"two lines":     {"// library: /X 1\n// source: a.h\nextern int f(int a,\n  int b);\n", "", "not understood"},
		"table, source": {"// library: /X 1\n", "X _a _b\n", "no source"},
		"table, name":   {"// library: /X 1\n", "Y _a # a.h\n", "unknown library"},
		"two names":     {"// library: /X 1\n", "library X /Z 1\n", "in two ways"},
	} {
		if c.table != "" {
			table = &fstest.MapFile{Data: []byte(c.table)}
		}
		_, err := read(fstest.MapFS{"include/X/X.h": {Data: []byte(c.header)}, "link.table": table})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		table = &fstest.MapFile{Data: []byte("# nothing\n")}
	}
}

var _ fs.FS = files

func TestStub(t *testing.T) {
	l := library{name: "X", install: "/usr/lib/X", compatibility: "1", symbols: []symbol{{"_OBJC_CLASS_$_A", "s"}, {"_OBJC_METACLASS_$_A", "s"}, {"_f", "s"}}}
	s := l.stub()
	for _, want := range []string{"install-name: '/usr/lib/X'", "    symbols: [ _f ]", "    objc-classes: [ A ]", "x86_64-macos, arm64-macos"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
}
