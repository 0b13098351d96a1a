// Command registry is a container registry on loopback for the tests of notation
// and cosign, and the hand of an attacker in it: it moves signatures to artifacts
// that they were not made for, and changes bytes of them.
//
//	registry serve                       prints "ready HOST:PORT", runs until standard input ends
//	registry push REPOSITORY TEXT        makes an image with a file that holds TEXT; prints its digest
//	registry graft REPOSITORY FROM TO    attaches the signatures (referrers) of FROM to TO
//	registry flip REPOSITORY DIGEST      changes one byte of each signature (referrer) of DIGEST
//	registry tag REPOSITORY FROM TO      gives what the tag FROM names the tag TO, too
//	registry blob REPOSITORY DIGEST      prints the first layer of what refers to DIGEST, or of a tag
package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	commands := map[string]struct {
		arguments int
		run       func(args []string) error
	}{
		"serve": {0, serve},
		"push":  {2, push},
		"graft": {3, func(a []string) error { return graft(a[0], a[1], a[2], false) }},
		"flip":  {2, func(a []string) error { return graft(a[0], a[1], a[1], true) }},
		"tag":   {3, tag},
		"blob":  {2, blob},
	}
	if len(args) == 0 {
		return errors.New("a command is missing; see the comment in main.go")
	}
	c, ok := commands[args[0]]
	if !ok || len(args)-1 != c.arguments {
		return fmt.Errorf("%q is no command, or has other arguments; see the comment in main.go", strings.Join(args, " "))
	}
	return c.run(args[1:])
}

func serve([]string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the parent's end
		_ = server.Close()
	}()
	fmt.Printf("ready %s\n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func push(a []string) error {
	repository, err := name.NewRepository(a[0], name.Insecure)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "content.txt", Mode: 0o644, Size: int64(len(a[1]))}); err != nil {
		return err
	}
	if _, err := w.Write([]byte(a[1])); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		return err
	}
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	if err := remote.Write(repository.Digest(digest.String()), image); err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

// raw is a manifest that is stored as it is.
type raw struct {
	manifest  []byte
	mediaType types.MediaType
}

func (r raw) RawManifest() ([]byte, error)        { return r.manifest, nil }
func (r raw) MediaType() (types.MediaType, error) { return r.mediaType, nil }

// graft copies what refers to one digest so that it refers to another; with
// change, its first layer has one byte changed, and the original is deleted.
func graft(repositoryName, from, to string, change bool) error {
	repository, err := name.NewRepository(repositoryName, name.Insecure)
	if err != nil {
		return err
	}
	target, err := remote.Head(repository.Digest(to))
	if err != nil {
		return err
	}
	index, err := remote.Referrers(repository.Digest(from))
	if err != nil {
		return err
	}
	found, err := index.IndexManifest()
	if err != nil {
		return err
	}
	if len(found.Manifests) == 0 {
		return fmt.Errorf("nothing refers to %s", from)
	}
	for _, d := range found.Manifests {
		old, err := remote.Get(repository.Digest(d.Digest.String()))
		if err != nil {
			return err
		}
		var m map[string]any
		if err := json.Unmarshal(old.Manifest, &m); err != nil {
			return err
		}
		m["subject"] = v1.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
		if change {
			layer, err := flipped(repository, m)
			if err != nil {
				return err
			}
			m["layers"] = []any{layer}
			if err := remote.Delete(repository.Digest(d.Digest.String())); err != nil {
				return err
			}
		}
		text, err := json.Marshal(m)
		if err != nil {
			return err
		}
		r := raw{text, old.MediaType}
		digest, _, err := v1.SHA256(bytes.NewReader(text))
		if err != nil {
			return err
		}
		if err := remote.Put(repository.Digest(digest.String()), r); err != nil {
			return err
		}
	}
	return nil
}

// firstLayer reads the first layer that a manifest names.
func firstLayer(repository name.Repository, m map[string]any) (content []byte, mediaType string, err error) {
	layers, _ := m["layers"].([]any)
	if len(layers) == 0 {
		return nil, "", errors.New("the manifest has no layer")
	}
	first, _ := layers[0].(map[string]any)
	digest, _ := first["digest"].(string)
	mediaType, _ = first["mediaType"].(string)
	layer, err := remote.Layer(repository.Digest(digest))
	if err != nil {
		return nil, "", err
	}
	r, err := layer.Compressed()
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = r.Close() }()
	content, err = io.ReadAll(r)
	return content, mediaType, err
}

// flipped stores a copy of the first layer with one other character in the middle.
func flipped(repository name.Repository, m map[string]any) (v1.Descriptor, error) {
	content, mediaType, err := firstLayer(repository, m)
	if err != nil {
		return v1.Descriptor{}, err
	}
	// In JWS the middle is base64url of the certificates or of the signature, in
	// COSE bytes of them: a letter for a letter keeps both readable.
	at := len(content) / 2
	for !(content[at] >= 'a' && content[at] < 'z') {
		at++
	}
	content[at]++
	layer := static.NewLayer(content, types.MediaType(mediaType))
	if err := remote.WriteLayer(repository, layer); err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := layer.Digest()
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: int64(len(content))}, err
}

func tag(a []string) error {
	repository, err := name.NewRepository(a[0], name.Insecure)
	if err != nil {
		return err
	}
	d, err := remote.Get(repository.Tag(a[1]))
	if err != nil {
		return err
	}
	return remote.Tag(repository.Tag(a[2]), d)
}

func blob(a []string) error {
	repository, err := name.NewRepository(a[0], name.Insecure)
	if err != nil {
		return err
	}
	var ref name.Reference = repository.Tag(a[1])
	if strings.HasPrefix(a[1], "sha256:") {
		index, err := remote.Referrers(repository.Digest(a[1]))
		if err != nil {
			return err
		}
		found, err := index.IndexManifest()
		if err != nil {
			return err
		}
		if len(found.Manifests) == 0 {
			return fmt.Errorf("nothing refers to %s", a[1])
		}
		ref = repository.Digest(found.Manifests[0].Digest.String())
	}
	d, err := remote.Get(ref)
	if err != nil {
		return err
	}
	var m map[string]any
	if err := json.Unmarshal(d.Manifest, &m); err != nil {
		return err
	}
	content, _, err := firstLayer(repository, m)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(content)
	return err
}
