package standard

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signpath/e2e/rig"
	winrig "signpath/e2e/windows/rig"
)

// caller is the program of testdata/caller.c, built once.
var caller = sync.OnceValues(func() (string, error) {
	program := filepath.Join(rig.Root, "build", "standard-caller")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	out, err := exec.Command("cc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, filepath.Join("testdata", "caller.c"), "-ldl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("caller.c cannot be built: %w\n%s", err, out)
	}
	return program, nil
})

// run is one case at work: a process that has loaded a module.
type run struct {
	tok     *token
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
	stderr  *strings.Builder
	limit   *time.Timer
	list    map[string]uint64 // addresses of functions, when a case calls through a function list
	syms    map[string]uint64
}

// failure ends a case.
type failure string

func (r *run) fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func start(t *testing.T, tok *token) *run {
	program := ""
	if windows {
		program = winrig.Compile(t, "amd64", "caller.exe", filepath.Join("testdata", "caller.c"))
	} else {
		p, err := caller()
		if err != nil {
			t.Fatal(err)
		}
		program = p
	}
	r := &run{tok: tok, cmd: exec.Command(program), stderr: &strings.Builder{}, syms: map[string]uint64{}}
	r.cmd.Env, r.cmd.Stderr = tok.env(t), r.stderr
	if windows { // without its standard error, which Wine's own programs keep open
		r.cmd = winrig.Stock(t).Tool(t, rig.TheService(t), "Cryptoki", tok.more...).Command(program)
	}
	r.in = rig.Must(r.cmd.StdinPipe())
	r.answers = bufio.NewReader(rig.Must(r.cmd.StdoutPipe()))
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A call that never returns fails the case; a forked child goes, too.
	r.limit = time.AfterFunc(time.Minute, func() { _ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) })
	return r
}

// stop ends the process; how it ended is part of the case.
func (r *run) stop() error {
	_ = r.in.Close()
	err := r.cmd.Wait()
	r.limit.Stop()
	return err
}

// ask sends one command.
func (r *run) ask(format string, args ...any) string {
	_, err := fmt.Fprintf(r.in, format+"\n", args...)
	var line string
	if err == nil {
		line, err = r.answers.ReadString('\n')
	}
	line = strings.TrimSuffix(line, "\n")
	if err != nil {
		_ = r.in.Close()
		r.fail("the process ended at %q: %v %s", fmt.Sprintf(format, args...), r.cmd.Wait(), r.stderr)
	}
	if strings.HasPrefix(line, "error ") {
		r.fail("%s: %s", fmt.Sprintf(format, args...), line)
	}
	return line
}

func (r *run) number(format string, args ...any) uint64 {
	line := r.ask(format, args...)
	n, err := strconv.ParseUint(line, 16, 64)
	if err != nil {
		r.fail("%q is no number", line)
	}
	return n
}

// ---- memory of the process: every piece ends at a forbidden page

func (r *run) mem(n int) uint64 { return r.number("mem %x", n) }

func (r *run) bytes(b []byte) uint64 {
	at := r.mem(len(b))
	r.write(at, b)
	return at
}

func (r *run) write(at uint64, b []byte) {
	if len(b) > 0 {
		r.ask("write %x %x", at, b)
	}
}

func (r *run) read(at uint64, n int) []byte {
	return rig.Must(hex.DecodeString(r.ask("read %x %x", at, n)))
}

// attr is one CK_ATTRIBUTE; nil is NULL_PTR.
type attr struct {
	kind  uint64
	value []byte
}

// template is an array of CK_ATTRIBUTE.
func (r *run) template(attrs ...attr) uint64 {
	var b []byte
	for _, a := range attrs {
		at := uint64(0)
		if a.value != nil {
			at = r.bytes(a.value)
		}
		b = append(b, entry(a.kind, at, uint64(len(a.value)))...)
	}
	return r.bytes(b)
}

// mechanism is a CK_MECHANISM; nil is no parameter.
func (r *run) mechanism(kind uint64, parameter []byte) uint64 {
	at := uint64(0)
	if parameter != nil {
		at = r.bytes(parameter)
	}
	return r.entries(kind, at, uint64(len(parameter)))
}

// ---- calls

// call calls a function by its name.
func (r *run) call(function string, args ...uint64) RV {
	at, ok := r.list[function]
	if !ok {
		if at, ok = r.syms[function]; !ok {
			at = r.number("sym %s", function)
			r.syms[function] = at
		}
	}
	if at == 0 {
		r.fail("%s is not exported", function)
	}
	var text strings.Builder
	for _, a := range args {
		fmt.Fprintf(&text, " %x", a)
	}
	return RV(r.number("call %x%s", at, text.String()))
}

// want calls and asserts that the answer is one of those allowed.
func (r *run) want(allowed RV, function string, args ...uint64) {
	r.any([]RV{allowed}, function, args...)
}

func (r *run) any(allowed []RV, function string, args ...uint64) RV {
	rv := r.call(function, args...)
	if !slices.Contains(allowed, rv) {
		r.fail("%s%x = %v, allowed %v", function, args, rv, allowed)
	}
	return rv
}

// ok calls what has to work.
func (r *run) ok(function string, args ...uint64) { r.want(CKR_OK, function, args...) }

// out calls what has to work and fills in one CK_ULONG at the end of its arguments.
func (r *run) out(function string, args ...uint64) uint64 {
	at := r.longs(0)
	r.ok(function, append(args, at)...)
	return r.long(at)
}

func (r *run) equal(what string, got, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.fail("%s is %v, not %v", what, got, want)
	}
}

// ---- the usual ways to a state

func (r *run) load() { r.ask("load %s", r.tok.module) }

// initialize is C_Initialize with CKF_OS_LOCKING_OK.
func (r *run) initialize() {
	r.load()
	r.ok("C_Initialize", r.arguments(0, 0, 0, 0, ckfOSLockingOK, 0))
}

func (r *run) slot() uint64 {
	count := r.longs(16)
	slots := r.mem(16 * int(in.long))
	r.ok("C_GetSlotList", 1, slots, count)
	return r.long(slots)
}

func (r *run) open() uint64 { return r.openWith(ckfSerial) }

func (r *run) openWith(flags uint64) uint64 {
	return r.out("C_OpenSession", r.slot(), flags, 0, 0)
}

func (r *run) login(session uint64) {
	r.ok("C_Login", session, ckuUser, r.bytes([]byte(r.tok.pin)), uint64(len(r.tok.pin)))
}

// ready gives a session that is logged in.
func (r *run) ready() uint64 {
	r.initialize()
	s := r.open()
	r.login(s)
	return s
}

// session gives one that is not.
func (r *run) session() uint64 {
	r.initialize()
	return r.open()
}

// find gives all objects that match.
func (r *run) find(session uint64, attrs ...attr) []uint64 {
	at := uint64(0)
	if len(attrs) > 0 {
		at = r.template(attrs...)
	}
	r.ok("C_FindObjectsInit", session, at, uint64(len(attrs)))
	var all []uint64
	found, count := r.mem(4*int(in.long)), r.longs(0)
	for {
		r.ok("C_FindObjects", session, found, 4, count)
		n := int(r.long(count))
		if n == 0 {
			break
		}
		for i := range n {
			all = append(all, r.long(found+in.long*uint64(i)))
		}
	}
	r.ok("C_FindObjectsFinal", session)
	return all
}

func (r *run) key(session, class uint64, id string) uint64 {
	found := r.find(session, attr{ckaClass, long(class)}, attr{ckaID, []byte(id)})
	if len(found) != 1 {
		r.fail("%d objects of class %d with id %s", len(found), class, id)
	}
	return found[0]
}

func (r *run) rsa(s uint64) uint64       { return r.key(s, ckoPrivateKey, r.tok.rsaID) }
func (r *run) rsaPublic(s uint64) uint64 { return r.key(s, ckoPublicKey, r.tok.rsaID) }
func (r *run) ec(s uint64) uint64        { return r.key(s, ckoPrivateKey, r.tok.ecID) }
func (r *run) ecPublic(s uint64) uint64  { return r.key(s, ckoPublicKey, r.tok.ecID) }

// value reads one attribute.
func (r *run) value(session, object, kind uint64) []byte {
	t := r.template(attr{kind, nil})
	r.ok("C_GetAttributeValue", session, object, t, 1)
	n := r.long(t + in.length)
	at := r.mem(int(n))
	r.write(t, entry(kind, at, n))
	r.ok("C_GetAttributeValue", session, object, t, 1)
	return r.read(at, int(n))
}

func (r *run) state(session uint64) uint64 {
	at := r.mem(int(in.session))
	r.ok("C_GetSessionInfo", session, at)
	return r.long(at + in.long)
}

// sign is a whole C_SignInit and C_Sign.
func (r *run) sign(session, mechanism, key uint64, data []byte) []byte {
	r.ok("C_SignInit", session, mechanism, key)
	return r.signed(session, data)
}

// signed is C_Sign into a buffer of exactly the right length.
func (r *run) signed(session uint64, data []byte) []byte {
	n := r.longs(0)
	in := r.bytes(data)
	r.ok("C_Sign", session, in, uint64(len(data)), 0, n)
	size := int(r.long(n))
	sig := r.mem(size)
	r.ok("C_Sign", session, in, uint64(len(data)), sig, n)
	return r.read(sig, int(r.long(n)))
}

// idle asserts that no signing operation is active.
func (r *run) idle(session uint64) {
	r.want(CKR_OPERATION_NOT_INITIALIZED, "C_SignUpdate", session, r.bytes([]byte("x")), 1)
}
