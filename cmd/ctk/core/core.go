//go:build cgo && (darwin || gnustep)

package main

/*
#include <stdlib.h>
#include "host.h"

static int call_registered(struct sp_host *h, char **list, char **error) { return h->registered(list, error); }
static void call_begin(struct sp_host *h, char *instance, void *data, int size) { h->begin(instance, data, size); }
static void call_item(struct sp_host *h, char *object, char *label, void *der, int size, int key) { h->item(object, label, der, size, key); }
static int call_commit(struct sp_host *h, char **error) { return h->commit(error); }
static int call_remove(struct sp_host *h, char *instance, char **error) { return h->remove(instance, error); }
static int call_visibility(struct sp_host *h, char *instance) { return h->visibility(instance); }
static void call_show(struct sp_host *h, char *state, char *text, char *items) { h->show(state, text, items); }
static void call_alert(struct sp_host *h, char *text) { h->alert(text); }
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"signpath/internal/buildinfo"
	"signpath/internal/provider/ctk"
)

// Variables of a process that starts itself again.
const (
	envRestarts = "SIGNPATH_AGENT_RESTARTS" // times in a row, and when the last one was (Unix seconds): "2 1700000000"
	envClear    = "SIGNPATH_AGENT_CLEAR"    // exit code: remove the tokens, then end with it
)

// process is the one app of this process: C functions have no place for it.
var process struct {
	host       *C.struct_sp_host
	args       []string
	executable string
	agent      chan *ctk.Agent
	quit       context.CancelFunc
}

//export sp_prepare
func sp_prepare(argc C.int, argv **C.char, host *C.struct_sp_host) C.int {
	for i, a := range unsafe.Slice(argv, int(argc)) {
		if i > 0 { // the program's name
			process.args = append(process.args, C.GoString(a))
		}
	}
	process.host = host
	process.agent = make(chan *ctk.Agent, 1)
	err := harden()
	if err == nil {
		process.executable, err = os.Executable()
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return ctk.ExitFailed
	}
	for _, a := range process.args {
		switch a {
		case "--help", "-h":
			_, _ = fmt.Print(ctk.Usage())
			return ctk.ExitOK
		case "--version":
			_, _ = fmt.Println(ctk.AppName + " " + buildinfo.String())
			return ctk.ExitOK
		}
	}
	if code, err := strconv.Atoi(os.Getenv(envClear)); err == nil {
		if err := newApp().Clear(context.Background()); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
		}
		return C.int(code)
	}
	if slices.Contains(process.args, "--foreground") {
		return C.SP_RUN_ON_CONSOLE
	}
	return C.SP_RUN_IN_MENU
}

func newApp() *ctk.App {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	n, _ := restarts()
	return &ctk.App{
		Version: buildinfo.Version(), Args: process.args, Keychain: keychain{}, Restarts: n,
		Place: ctk.Place{Executable: process.executable, Environ: environ(), Home: home},
		Show:  show, Print: func(line string) { _, _ = fmt.Println(line) }, Fail: complain,
		Ready: func(a *ctk.Agent) { process.agent <- a },
	}
}

//export sp_start
func sp_start() {
	ctx, quit := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	process.quit = quit
	go func() {
		finish(newApp().Run(ctx))
	}()
}

// finish ends the process, or makes it begin anew.
func finish(o ctk.Outcome) {
	env := environ()
	switch o.Next {
	case ctk.NextRestart:
		n, last := restarts()
		if time.Since(last) > ctk.InARow {
			n = 0
		}
		env = append(env, fmt.Sprintf("%s=%d %d", envRestarts, n+1, time.Now().Unix()))
	case ctk.NextClear:
		env = append(env, fmt.Sprintf("%s=%d", envClear, o.Code))
	default:
		C.exit(C.int(o.Code))
	}
	if err := syscall.Exec(process.executable, append([]string{process.executable}, process.args...), env); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "the app cannot start itself again:", err)
	}
	C.exit(ctk.ExitFailed)
}

// environ is the environment without what one run tells the next.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, envRestarts+"=") || strings.HasPrefix(v, envClear+"=")
	})
}

func restarts() (n int, last time.Time) {
	var seconds int64
	if _, err := fmt.Sscanf(os.Getenv(envRestarts), "%d %d", &n, &seconds); err != nil {
		return 0, time.Time{}
	}
	return n, time.Unix(seconds, 0)
}

// sp_stop removes the tokens and ends the process; it does not return.
//
//export sp_stop
func sp_stop() {
	process.quit()
	select {}
}

//export sp_reload
func sp_reload() {
	select {
	case a := <-process.agent:
		a.Reload()
		process.agent <- a
	default: // not ready yet, or ended
	}
}

// sp_wait never returns: another thread ends the process.
//
//export sp_wait
func sp_wait() { select {} }

// readingTime is how long an alert keeps an app that cannot start.
const readingTime = 30 * time.Second

// complain tells why the app cannot start: a console, or a person at the screen.
func complain(line string) {
	_, _ = fmt.Fprintln(os.Stderr, line)
	read := make(chan struct{})
	go func() {
		defer close(read)
		text := C.CString(line)
		defer C.free(unsafe.Pointer(text))
		C.call_alert(process.host, text)
	}()
	select {
	case <-read:
	case <-time.After(readingTime):
	}
}

func show(s ctk.Status) {
	lines := s.Lines()
	state, text, items := C.CString(string(s.State)), C.CString(s.Text), C.CString(strings.Join(lines[1:], "\n"))
	defer func() { C.free(unsafe.Pointer(state)); C.free(unsafe.Pointer(text)); C.free(unsafe.Pointer(items)) }()
	C.call_show(process.host, state, text, items)
}

// keychain is macOS as the Objective-C half shows it.
type keychain struct{}

// taken gives a C text and frees it.
func taken(s *C.char) string {
	if s == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(s))
	return C.GoString(s)
}

func outcome(code C.int, text *C.char) error {
	said := taken(text)
	switch code {
	case 0:
		return nil
	case 1:
		return ctk.ErrNoExtension
	}
	return errors.New(said)
}

func (keychain) Registered() ([]string, error) {
	var list, text *C.char
	code := C.call_registered(process.host, &list, &text)
	return strings.Fields(taken(list)), outcome(code, text)
}

func (keychain) Put(t *ctk.Token) error {
	instance := C.CString(t.Instance)
	defer C.free(unsafe.Pointer(instance))
	configuration := t.Channel.Bytes()
	data := C.CBytes(configuration)
	C.call_begin(process.host, instance, data, C.int(len(configuration)))
	C.free(data)
	item(t.Object, t.Label, t.Certificate, 1)
	for i, der := range t.Issuers {
		item(t.IssuerObject(i), "", der, 0)
	}
	var text *C.char
	code := C.call_commit(process.host, &text)
	return outcome(code, text)
}

func item(object, label string, der []byte, key C.int) {
	o, l, d := C.CString(object), C.CString(label), C.CBytes(der)
	defer func() { C.free(unsafe.Pointer(o)); C.free(unsafe.Pointer(l)); C.free(d) }()
	C.call_item(process.host, o, l, d, C.int(len(der)), key)
}

func (keychain) Remove(instance string) error {
	name := C.CString(instance)
	defer C.free(unsafe.Pointer(name))
	var text *C.char
	code := C.call_remove(process.host, name, &text)
	return outcome(code, text)
}

func (keychain) Visibility(instance string) (ctk.Visibility, error) {
	name := C.CString(instance)
	defer C.free(unsafe.Pointer(name))
	return ctk.Visibility(C.call_visibility(process.host, name)), nil
}

func (keychain) Daemon() int { return daemon() }
