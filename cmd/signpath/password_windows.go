package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// hideInput stops a console from showing what is typed, until restore is called or
// Ctrl-C ends the program. An error: it is no console.
func hideInput(f *os.File) (restore func(), err error) {
	console := windows.Handle(f.Fd())
	var old uint32
	if err := windows.GetConsoleMode(console, &old); err != nil {
		return nil, err
	}
	hidden := old&^windows.ENABLE_ECHO_INPUT | windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT
	if err := windows.SetConsoleMode(console, hidden); err != nil {
		return nil, err
	}
	put := func() { _ = windows.SetConsoleMode(console, old) } // nothing can be done about a console that is gone
	return untilRestored(put, os.Interrupt), nil
}
