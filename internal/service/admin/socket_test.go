//go:build linux

package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"signpath/internal/service/admin"
	"signpath/internal/service/store"
	"signpath/internal/wire"
)

func serve(t *testing.T, folder string, service *admin.Service) *admin.SocketServer {
	t.Helper()
	s, err := admin.ServeSocket(folder, service, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func dial(t *testing.T, folder string) *admin.Client {
	t.Helper()
	c, err := admin.Dial(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSocket(t *testing.T) {
	// A path that is longer than the address of a socket may be.
	long := filepath.Join(t.TempDir(), strings.Repeat("long-name/", 20))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]string{"short": t.TempDir(), "long path": long} {
		t.Run(name, func(t *testing.T) {
			f := filled(t)
			path := filepath.Join(folder, admin.SocketName)
			if err := os.WriteFile(path, []byte("left over"), 0o644); err != nil {
				t.Fatal(err)
			}
			server := serve(t, folder, f.service)
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Mode()&os.ModeSocket == 0 {
				t.Fatalf("the socket is %v, %v", info, err)
			}
			c := dial(t, folder)
			var token admin.CreatedToken
			if err := c.Run(t.Context(), "token.create", admin.NewToken{User: "build"}, &token); err != nil {
				t.Fatal(err)
			}
			if len(token.Text.Reveal()) != 44 {
				t.Error("the token did not come through")
			}
			events := f.events()
			if a := events[len(events)-1].Actor; a.Type != "Operator" || a.ID != strconv.Itoa(os.Getuid()) {
				t.Errorf("the actor is %+v", a)
			}
			// Errors keep their kind.
			err := c.Run(t.Context(), "project.create", admin.NewProject{Slug: "a/b"}, nil)
			var fields wire.FieldErrors
			if !errors.As(err, &fields) || len(fields["slug"]) == 0 {
				t.Errorf("project.create: %v", err)
			}
			if err := c.Run(t.Context(), "token.revoke", admin.TokenReference{ID: "nope"}, nil); !errors.Is(err, admin.ErrNotFound) || !strings.Contains(err.Error(), "nope") {
				t.Errorf("token.revoke: %v", err)
			}
			if err := c.Run(t.Context(), "no.such", nil, nil); !errors.Is(err, admin.ErrNotFound) {
				t.Errorf("no.such: %v", err)
			}
			if err := server.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket is still there: %v", err)
			}
			if _, err := admin.Dial(t.Context(), folder); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("dialling nobody: %v", err)
			}
		})
	}
}

// broken is a store that fails.
type broken struct {
	store.Store
	err error
}

func (b broken) ConfigVersion(context.Context) (uint64, error) { return 0, b.err }

// What a caller decides on is the same here and over the socket.
func TestSocketKeepsKinds(t *testing.T) {
	all := []error{admin.ErrNotFound, admin.ErrConflict, admin.ErrUnavailable, store.ErrFull, store.ErrDuplicate, store.ErrDamaged, admin.ErrNoKEK, admin.ErrQuota, admin.ErrInvitation}
	for _, kind := range all {
		f := filled(t)
		f.service.Store = broken{f.store, fmt.Errorf("writing: %w", kind)}
		folder := t.TempDir()
		serve(t, folder, f.service)
		err := dial(t, folder).Run(t.Context(), "user.create", admin.NewUser{Name: "x", Kind: "ci"}, nil)
		for _, k := range all {
			if errors.Is(err, k) != (k == kind) {
				t.Errorf("%v is %v: %t", err, k, errors.Is(err, k))
			}
		}
		if err == nil || !strings.Contains(err.Error(), "writing: "+kind.Error()) {
			t.Errorf("the sentence is %v", err)
		}
	}
}

// Bytes that are no request end the connection, not the server.
func TestSocketGarbage(t *testing.T) {
	f := filled(t)
	folder := t.TempDir()
	serve(t, folder, f.service)
	for _, garbage := range []string{"\x00\x00\x00", "GET / HTTP/1.1\r\n\r\n", "POST /operations/user.list HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{{{", "POST /operations/user.list HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"} {
		c, err := net.Dial("unix", filepath.Join(folder, admin.SocketName))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		answer := make([]byte, 100)
		n, _ := c.Read(answer)
		if strings.HasPrefix(string(answer[:n]), "HTTP/1.1 2") {
			t.Errorf("%q was answered with %q", garbage, answer[:n])
		}
		_ = c.Close()
	}
	if err := dial(t, folder).Run(t.Context(), "user.list", admin.OrganizationReference{}, nil); err != nil {
		t.Error(err)
	}
}

// Another user of the machine gets nothing, even if the socket's mode were
// wrong. Only root can try: it becomes somebody else for one connection.
func TestSocketPeer(t *testing.T) {
	f := filled(t)
	folder, err := tempDir() // unlike the test's own, one that others can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	serve(t, folder, f.service)
	if os.Getuid() != 0 {
		t.Log("only root can become another user; the same user is let in")
		if err := dial(t, folder).Run(t.Context(), "user.list", admin.OrganizationReference{}, nil); err != nil {
			t.Error(err)
		}
		return
	}
	if err := os.Chmod(filepath.Join(folder, admin.SocketName), 0o666); err != nil {
		t.Fatal(err)
	}
	const request = "POST /operations/organization.list HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	for uid, want := range map[int]bool{0: true, 65534: false} {
		answer, err := askAs(uid, filepath.Join(folder, admin.SocketName), request)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.HasPrefix(answer, "HTTP/1.1 200"); got != want {
			t.Errorf("user %d was answered %q", uid, answer)
		}
	}
}

// askAs connects with another effective user, on one thread of this process.
func askAs(uid int, path, request string) (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	keep := ^uintptr(0)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); e != 0 {
		return "", e
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep); e != 0 {
		panic(e) // a thread with the wrong user must not go back to the others
	}
	if err != nil {
		return "", err
	}
	if _, err := unix.Write(fd, []byte(request)); err != nil && !errors.Is(err, unix.EPIPE) {
		return "", err
	}
	answer := make([]byte, 1000)
	n, err := unix.Read(fd, answer)
	if errors.Is(err, unix.ECONNRESET) {
		return "", nil
	}
	return string(answer[:max(n, 0)]), err
}
