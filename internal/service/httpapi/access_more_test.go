package httpapi

import (
	"slices"
	"strings"
)

// moreAccessRows are the rows of the access table that stand beside the tests
// of their routes.
func moreAccessRows() []accessRow {
	return slices.Concat(auditAccessRows(), certificateAccessRows(), requestAccessRows(), keyAccessRows())
}

// certificateAccessRows are the rows of certificates.
func certificateAccessRows() []accessRow {
	const org, one = "/Api/v1/{organizationId}/Certificates", "/Api/v1/{organizationId}/Certificates/{certificateSlug}"
	managers := append(slices.Clone(admins), colCA)
	return []accessRow{
		{method: "GET", pattern: org, allowed: everyone, status: 200, call: get("Certificates")},
		{method: "POST", pattern: org + "/CreateSelfSignedX509", allowed: managers, status: 201, call: post("Certificates/CreateSelfSignedX509", `{"slug":"%s","keyType":"Ecdsa","subject":{"commonName":"x"}}`)},
		{method: "POST", pattern: org + "/CreateCsrBasedX509", allowed: managers, status: 201, call: post("Certificates/CreateCsrBasedX509", `{"slug":"%s","keyType":"Ecdsa","subject":{"commonName":"x"}}`)},
		{method: "GET", pattern: one, allowed: everyone, status: 200, call: get("Certificates/p256")},
		{method: "GET", pattern: one + "/Csr", allowed: everyone, status: 200, call: requested("/Csr")},
		{method: "GET", pattern: one + "/X509Certificate", allowed: everyone, status: 200, call: get("Certificates/p256/X509Certificate")},
		{method: "GET", pattern: one + "/GpgPublicKey", allowed: everyone, status: 200, call: get("Certificates/gpg-rsa3072/GpgPublicKey")},
		{method: "POST", pattern: one + "/UploadX509Certificate", allowed: managers, status: 200, call: requested("/UploadX509Certificate")},
	}
}

// requested is a call about a certificate that an authority issued on request.
func requested(path string) func(*accessWorld) (string, string, string) {
	return func(w *accessWorld) (string, string, string) {
		const slug = "requested"
		if w.issued == nil {
			decoded[any](w.t, w.ask(w.t, w.tokens[colGA], "POST", "Certificates/CreateCsrBasedX509", `{"slug":"`+slug+`","keyType":"Ecdsa","subject":{"commonName":"x"}}`), 201)
			w.issued = issued(w.t, w.ask(w.t, w.tokens[colGA], "GET", "Certificates/"+slug+"/Csr", "").Body.Bytes())
		}
		contentType, body := form(w.issued)
		return "Certificates/" + slug + path, strings.TrimPrefix(contentType, "Content-Type: "), string(body)
	}
}
