package doctor

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"signpath/internal/provider/winstore"
)

// Where providers are registered ("CNG Cryptographic Configuration"; "CryptoAPI
// Cryptographic Service Providers").
const (
	cngProviders = `SYSTEM\CurrentControlSet\Control\Cryptography\Providers\`
	cngList      = `SYSTEM\CurrentControlSet\Control\Cryptography\Configuration\Local\Default\00010001\KEY_STORAGE`
	capiDefaults = `SOFTWARE\Microsoft\Cryptography\Defaults\Provider\`
)

// view is Windows as programs of one width see it.
type view struct {
	bits    int
	folder  string // where their system DLLs are, as this program sees it
	access  uint32 // of their half of the registry
	machine string
}

// registrations looks at both providers, for 64-bit and 32-bit programs.
func registrations() ([]Registration, error) {
	root, err := windows.GetSystemWindowsDirectory()
	if err != nil {
		return nil, fmt.Errorf("asking for the folder of Windows: %w", err)
	}
	native := map[string]string{"386": "amd64"}[runtime.GOARCH]
	if native == "" {
		native = runtime.GOARCH
	}
	wide := view{64, filepath.Join(root, "System32"), registry.WOW64_64KEY, native}
	if runtime.GOARCH == "386" {
		wide.folder = filepath.Join(root, "Sysnative") // System32 is the other one to us
	}
	narrow := view{32, filepath.Join(root, "SysWOW64"), registry.WOW64_32KEY, "386"}
	views := []view{wide, narrow}
	var wow bool // a 32-bit program on 64-bit Windows
	if err := windows.IsWow64Process(windows.CurrentProcess(), &wow); err != nil {
		return nil, fmt.Errorf("asking which Windows this is: %w", err)
	}
	if runtime.GOARCH == "386" && !wow { // 32-bit Windows has 32-bit programs only
		narrow.folder = filepath.Join(root, "System32")
		views = []view{narrow}
	}
	var all []Registration
	for _, p := range winstore.Providers {
		for _, v := range views {
			look := lookAtCSP
			if p.Type == 0 {
				look = lookAtKSP
			}
			r, err := look(p.Name, v)
			if err != nil {
				return nil, err
			}
			r.Provider, r.Bits, r.Wants = p.Name, v.bits, v.machine
			all = append(all, r)
		}
	}
	return all, nil
}

// lookAtKSP: both widths share the registration, each has a DLL of its own.
func lookAtKSP(name string, v view) (r Registration, err error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, cngProviders+name+`\UM`, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = k.Close() }()
	image, _, _ := k.GetStringValue("Image")
	r.Registered = true
	v.dll(&r, image)
	if v.bits == 32 && r.Problem != "" && !filepath.IsAbs(image) {
		return Registration{}, nil // the one DLL of 64 bits is what most machines have
	}
	if l, err := registry.OpenKey(registry.LOCAL_MACHINE, cngList, registry.QUERY_VALUE); err == nil {
		defer func() { _ = l.Close() }()
		names, _, _ := l.GetStringsValue("Providers")
		r.Listed = slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return r, nil
}

// lookAtCSP: each width has a registration of its own.
func lookAtCSP(name string, v view) (r Registration, err error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, capiDefaults+name, registry.QUERY_VALUE|v.access)
	if errors.Is(err, registry.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = k.Close() }()
	image, _, _ := k.GetStringValue("Image Path")
	if number, _, err := k.GetIntegerValue("Type"); err == nil {
		r.Type = uint32(number) //nolint:gosec // a REG_DWORD
	}
	r.Registered, r.Listed = true, true
	v.dll(&r, image)
	return r, nil
}

// dll finds the file that a program of this width would load.
func (v view) dll(r *Registration, image string) {
	if expanded, err := registry.ExpandString(image); err == nil {
		image = expanded
	}
	root, _ := windows.GetSystemWindowsDirectory()
	system := filepath.Join(root, "System32") + `\`
	switch {
	case image == "":
		r.Problem = "no DLL is named"
		return
	case !filepath.IsAbs(image):
		r.Image = filepath.Join(v.folder, image)
	case len(image) > len(system) && strings.EqualFold(image[:len(system)], system):
		r.Image = filepath.Join(v.folder, image[len(system):]) // what the name means to them
	default:
		r.Image = image
	}
	r.Has, r.Problem = dllMachine(r.Image)
}
