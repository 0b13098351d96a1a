// Before each file: what macOS' Foundation has and GNUstep's has not, or has otherwise.
#pragma once
#import <Foundation/Foundation.h>
int NSExtensionMain(int argc, const char *argv[]);
// GNUstep asks the user database; macOS gives the container of a sandboxed program.
static inline NSString *SPHome(void) { return [NSString stringWithUTF8String:getenv("HOME")]; }
#define NSHomeDirectory SPHome
