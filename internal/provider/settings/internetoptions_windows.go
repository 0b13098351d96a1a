package settings

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

const (
	internetSettings = `Software\Microsoft\Windows\CurrentVersion\Internet Settings`
	internetPolicies = `Software\Policies\Microsoft\Windows\CurrentVersion\Internet Settings`
)

// systemProxy reads the Internet Options: those of the user, or, where the policy
// ProxySettingsPerUser is 0, those of the machine.
func systemProxy() internetOptions {
	root, place := registry.CURRENT_USER, "Internet Options of Windows (this user)"
	if perUser, ok := numberAt(registry.LOCAL_MACHINE, internetPolicies, "ProxySettingsPerUser"); ok && perUser == 0 {
		root, place = registry.LOCAL_MACHINE, "Internet Options of Windows (whole machine, by policy)"
	}
	k, err := registry.OpenKey(root, internetSettings, registry.QUERY_VALUE)
	if err != nil {
		return internetOptions{}
	}
	defer func() { _ = k.Close() }()
	o := internetOptions{place: place, automatic: askWinHTTP}
	if n, _, err := k.GetIntegerValue("ProxyEnable"); err == nil {
		o.enable = n != 0
	}
	o.server, o.override, o.script = textOf(k, "ProxyServer"), textOf(k, "ProxyOverride"), textOf(k, "AutoConfigURL")
	if c, err := registry.OpenKey(root, internetSettings+`\Connections`, registry.QUERY_VALUE); err == nil {
		defer func() { _ = c.Close() }()
		if data, _, err := c.GetBinaryValue("DefaultConnectionSettings"); err == nil && len(data) >= 12 {
			const autoDetect = 8 // PROXY_TYPE_AUTO_DETECT; the flags follow version and counter
			o.detect = binary.LittleEndian.Uint32(data[8:])&autoDetect != 0
		}
	}
	return o
}

func numberAt(root registry.Key, path, name string) (uint64, bool) {
	k, err := registry.OpenKey(root, path, registry.QUERY_VALUE)
	if err != nil {
		return 0, false
	}
	defer func() { _ = k.Close() }()
	n, _, err := k.GetIntegerValue(name)
	return n, err == nil
}

// textOf reads a text value; one that is absurdly long counts as none.
func textOf(k registry.Key, name string) string {
	text, _, err := k.GetStringValue(name)
	if err != nil || len(text) > maxText {
		return ""
	}
	return text
}

// The part of WinHTTP that runs proxy scripts.
var (
	winhttp                = windows.NewLazySystemDLL("winhttp.dll")
	procWinHttpOpen        = winhttp.NewProc("WinHttpOpen")
	procWinHttpCloseHandle = winhttp.NewProc("WinHttpCloseHandle")
	procWinHttpSetTimeouts = winhttp.NewProc("WinHttpSetTimeouts")
	procWinHttpProxyForURL = winhttp.NewProc("WinHttpGetProxyForUrl")
	procGlobalFree         = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalFree")
)

// autoProxyOptions is WINHTTP_AUTOPROXY_OPTIONS.
type autoProxyOptions struct {
	flags       uint32
	detectFlags uint32
	configURL   *uint16
	_           uintptr
	_           uint32
	autoLogon   int32
}

// proxyInfo is WINHTTP_PROXY_INFO. Both texts belong to the caller.
type proxyInfo struct {
	accessType    uint32
	proxy, bypass *uint16
}

// askWinHTTP runs the script, or detection and then the script, of an address. It
// may take as long as the network does: callers bound it.
func askWinHTTP(target *url.URL, script string, detect bool) (string, error) {
	if err := procWinHttpProxyForURL.Find(); err != nil {
		return "", err
	}
	const noProxy, namedProxy = 1, 3 // WINHTTP_ACCESS_TYPE_…
	session, _, err := procWinHttpOpen.Call(0, noProxy, 0, 0, 0)
	if session == 0 {
		return "", fmt.Errorf("WinHttpOpen: %w", err)
	}
	defer func() { _, _, _ = procWinHttpCloseHandle.Call(session) }()
	limit := uintptr(automaticWait.Milliseconds())
	_, _, _ = procWinHttpSetTimeouts.Call(session, limit, limit, limit, limit)
	address, err := windows.UTF16PtrFromString(target.String())
	if err != nil {
		return "", err
	}
	const autoDetect, configURL, byDHCP, byDNS = 1, 2, 1, 2
	ways := []autoProxyOptions{}
	if detect {
		ways = append(ways, autoProxyOptions{flags: autoDetect, detectFlags: byDHCP | byDNS})
	}
	if script != "" {
		place, err := windows.UTF16PtrFromString(script)
		if err != nil {
			return "", err
		}
		ways = append(ways, autoProxyOptions{flags: configURL, configURL: place})
	}
	failure := errors.New("no automatic configuration")
	for i := range ways {
		var info proxyInfo
		done, _, err := procWinHttpProxyForURL.Call(session, uintptr(unsafe.Pointer(address)), uintptr(unsafe.Pointer(&ways[i])), uintptr(unsafe.Pointer(&info)))
		runtime.KeepAlive(ways)
		if done == 0 {
			failure = fmt.Errorf("WinHttpGetProxyForUrl: %w", err)
			continue
		}
		list := ""
		if info.accessType == namedProxy && info.proxy != nil {
			list = windows.UTF16PtrToString(info.proxy)
		}
		for _, text := range []*uint16{info.proxy, info.bypass} {
			if text != nil {
				_, _, _ = procGlobalFree.Call(uintptr(unsafe.Pointer(text)))
			}
		}
		return list, nil
	}
	return "", failure
}
