//go:build !windows

package doctor

// registrations: other systems register nothing.
func registrations() ([]Registration, error) { return nil, nil }
