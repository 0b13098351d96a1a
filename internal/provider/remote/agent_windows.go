package remote

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// osVersion is the real version, which no compatibility setting of the host changes.
func osVersion() string {
	v := windows.RtlGetVersion()
	return fmt.Sprintf("%d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)
}
