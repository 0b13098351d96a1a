package main

// tryFlag is how doctor calls a program that loads a PKCS #11 module for it: does this
// machine load it at all? A module that crashes takes its process along. Behind it
// stand the module's path and perhaps initializeFlag. What is answered: see
// cmd/signpath-hsm, which does it outside of Windows.
const (
	tryFlag        = "--try-module"
	initializeFlag = "--initialize" // begin and end using it, too; not for vendors' modules, which may ask their devices
)
