package rig

import "testing"

func TestVersionIn(t *testing.T) {
	for output, want := range map[string]string{
		"OpenSSL 3.0.22 3 Mar 2026 (Library: OpenSSL 3.0.22)":                   "3.0.22",
		"OpenSSL 1.1.1w  11 Sep 2023":                                           "1.1.1w",
		"OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17":                        "9.2p1",
		"osslsigncode 2.9, using:\n\tOpenSSL 3.0.16 11 Feb 2025":                "2.9",
		"openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment":   "17.0.15",
		"NOTE: Picked up JDK_JAVA_OPTIONS: -Dx=1.2\nopenjdk version \"25.0.1\"": "25.0.1",
		"0.23.0-0.3+deb12u2": "0.23.0",
		"1:31.0.2-1":         "31.0.2",
		"2:3.87.1-1+deb12u1": "3.87.1",
		"v1.3.2":             "1.3.2",
		"jsign 7.4":          "7.4",
		"no number":          "",
	} {
		if got := VersionIn(output); got != want {
			t.Errorf("VersionIn(%q) = %q, not %q", output, got, want)
		}
	}
}
