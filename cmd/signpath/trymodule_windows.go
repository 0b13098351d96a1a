package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// tried is the answer of a try, the last line on stdout; the first one has the step begin.
type tried struct {
	Step    string `json:"step,omitempty"`    // that failed: load, functions, initialize
	Error   string `json:"error,omitempty"`   // what the loader or the module said
	Library string `json:"library,omitempty"` // what the module says it is
}

// tryModule loads a module and gives the exit code.
func tryModule(args []string, out io.Writer) (code int, done bool) {
	windows.SetErrorMode(windows.SEM_FAILCRITICALERRORS | windows.SEM_NOGPFAULTERRORBOX | windows.SEM_NOOPENFILEERRORBOX) // no boxes that wait for a click
	// What dies without a further line was brought down by the module.
	if err := json.NewEncoder(out).Encode(tried{Step: "begin"}); err != nil {
		return exitFailed, true
	}
	answer := loadModule(args[0], len(args) > 1 && args[1] == initializeFlag)
	if err := json.NewEncoder(out).Encode(answer); err != nil || answer.Error != "" {
		return exitFailed, true
	}
	return 0, true
}

func loadModule(path string, initialize bool) tried {
	path, err := filepath.Abs(path)
	if err != nil {
		return tried{Step: "load", Error: err.Error()}
	}
	module, err := windows.LoadLibraryEx(path, 0, windows.LOAD_WITH_ALTERED_SEARCH_PATH) // what it needs may lie beside it
	if err != nil {
		return tried{Step: "load", Error: err.Error()}
	}
	functions := map[string]uintptr{}
	for _, name := range []string{"C_GetFunctionList", "C_Initialize", "C_GetInfo", "C_Finalize"} {
		if functions[name], err = windows.GetProcAddress(module, name); err != nil && (initialize || name == "C_GetFunctionList") {
			return tried{Step: "functions", Error: "it has no " + name}
		}
	}
	if !initialize {
		return tried{}
	}
	var info [72]byte // CK_INFO, packed by one byte: the description stands at 38
	for _, call := range []struct {
		name string
		arg  unsafe.Pointer
	}{{"C_Initialize", nil}, {"C_GetInfo", unsafe.Pointer(&info)}, {"C_Finalize", nil}} {
		if rv, _, _ := syscall.SyscallN(functions[call.name], uintptr(call.arg)); uint32(rv) != 0 {
			return tried{Step: "initialize", Error: fmt.Sprintf("%s answers 0x%x", call.name, uint32(rv))}
		}
	}
	return tried{Library: strings.TrimSpace(strings.TrimRight(string(info[38:70]), "\x00 "))}
}
