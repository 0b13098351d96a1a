//go:build !linux && !darwin && !windows

package remote

func osVersion() string { return "" }
