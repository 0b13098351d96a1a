//go:build !windows

package settings

// systemProxy: other systems have their proxies in the environment.
func systemProxy() internetOptions { return internetOptions{} }
