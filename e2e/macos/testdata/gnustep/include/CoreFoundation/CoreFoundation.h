#pragma once
#import <Security/Security.h>
extern const CFAllocatorRef kCFAllocatorDefault;
void CFRelease(id object);
