// library: /System/Library/Frameworks/Foundation.framework/Versions/C/Foundation 300
// What cmd/ctk uses of Foundation, declared anew from Apple's public documentation. The classes that really live in
// CoreFoundation stand here too: Foundation re-exports CoreFoundation and libobjc, so a binding to Foundation always holds.
#pragma once
#import <objc/NSObject.h>
#include <stddef.h>
#include <stdint.h>

// source: NSObjCRuntime.h
@class NSString, NSData, NSDictionary, NSArray, NSError, NSURL;
extern void NSLog(NSString *format, ...);

// source: NSString.h
@interface NSString : NSObject
+ (instancetype)string;
+ (instancetype)stringWithUTF8String:(const char *)text;
- (const char *)UTF8String;
- (BOOL)hasPrefix:(NSString *)prefix;
- (NSString *)stringByAppendingString:(NSString *)other;
- (NSArray *)componentsSeparatedByString:(NSString *)separator;
- (NSUInteger)length;
- (BOOL)isEqualToString:(NSString *)other;
@end

// source: NSPathUtilities.h
@interface NSString (NSStringPathExtensions)
- (NSString *)stringByAppendingPathComponent:(NSString *)component;
@end
extern NSString *NSHomeDirectory(void);

// source: NSString.h, the class of string literals (clang's -fconstant-string-class)
@interface NSConstantString : NSString
@end

// source: NSData.h
@interface NSData : NSObject
+ (instancetype)dataWithBytes:(const void *)bytes length:(NSUInteger)length;
- (const void *)bytes;
- (NSUInteger)length;
@end

// source: NSValue.h
@interface NSNumber : NSObject
+ (NSNumber *)numberWithBool:(BOOL)value;
+ (NSNumber *)numberWithInt:(int)value;
- (int)intValue;
@end

// source: NSArray.h
@interface NSArray : NSObject
+ (instancetype)array;
- (NSUInteger)count;
- (id)objectAtIndex:(NSUInteger)index;
- (BOOL)containsObject:(id)object;
@end
@interface NSMutableArray : NSArray
- (void)addObject:(id)object;
@end

// source: NSDictionary.h
@interface NSDictionary : NSObject
+ (instancetype)dictionaryWithObject:(id)object forKey:(id)key;
- (id)objectForKey:(id)key;
- (NSArray *)allKeys;
@end
@interface NSMutableDictionary : NSDictionary
+ (instancetype)dictionary;
- (void)setObject:(id)object forKey:(id)key;
@end

// source: NSError.h
extern NSString *const NSLocalizedDescriptionKey;
@interface NSError : NSObject
+ (instancetype)errorWithDomain:(NSString *)domain code:(NSInteger)code userInfo:(NSDictionary *)userInfo;
- (NSInteger)code;
@end

// source: NSURL.h
@interface NSURL : NSObject
+ (NSURL *)fileURLWithPath:(NSString *)path;
@end

// source: NSAutoreleasePool.h
@interface NSAutoreleasePool : NSObject
- (void)drain;
@end

// source: NSThread.h
@interface NSObject (NSThreadPerformAdditions)
- (void)performSelectorOnMainThread:(SEL)selector withObject:(id)argument waitUntilDone:(BOOL)wait;
@end

// source: NSNotification.h
@interface NSNotification : NSObject
@end

// source: NSExtension, the entry of app extensions (ld64 and Xcode: -e _NSExtensionMain)
extern int NSExtensionMain(int argc, const char *argv[]);
