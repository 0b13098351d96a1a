// library: /System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation 150
// What cmd/ctk uses of CoreFoundation.
#pragma once
#import <Security/Security.h>

// source: CFBase.h
extern const CFAllocatorRef kCFAllocatorDefault;
extern void CFRelease(CFTypeRef object);
