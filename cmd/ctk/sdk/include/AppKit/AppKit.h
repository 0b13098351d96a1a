// library: /System/Library/Frameworks/AppKit.framework/Versions/C/AppKit 45
// What cmd/ctk uses of AppKit: a menu-bar item.
#pragma once
#import <Foundation/Foundation.h>

// source: NSApplication.h
@protocol NSApplicationDelegate <NSObject>
@optional
- (void)applicationDidFinishLaunching:(NSNotification *)notification;
- (NSUInteger)applicationShouldTerminate:(id)sender;
@end
enum { NSTerminateCancel = 0, NSTerminateNow = 1, NSTerminateLater = 2 };
enum { NSApplicationActivationPolicyRegular = 0, NSApplicationActivationPolicyAccessory = 1 };
@interface NSApplication : NSObject
+ (NSApplication *)sharedApplication;
- (BOOL)setActivationPolicy:(NSInteger)policy;
- (void)setDelegate:(id)delegate;
- (void)run;
- (void)terminate:(id)sender;
- (void)activateIgnoringOtherApps:(BOOL)flag;
@end

// source: NSMenuItem.h
@interface NSMenuItem : NSObject
+ (NSMenuItem *)separatorItem;
- (void)setTarget:(id)target;
- (void)setEnabled:(BOOL)enabled;
@end

// source: NSMenu.h
@interface NSMenu : NSObject
- (void)setAutoenablesItems:(BOOL)automatic;
- (NSMenuItem *)addItemWithTitle:(NSString *)title action:(SEL)action keyEquivalent:(NSString *)key;
- (void)addItem:(NSMenuItem *)item;
- (void)removeAllItems;
@end

// source: NSStatusBarButton.h, NSButton.h
@interface NSStatusBarButton : NSObject
- (void)setTitle:(NSString *)title;
- (void)setToolTip:(NSString *)text;
@end

// source: NSStatusItem.h
@interface NSStatusItem : NSObject
- (NSStatusBarButton *)button;
- (void)setMenu:(NSMenu *)menu;
@end

// source: NSStatusBar.h
@interface NSStatusBar : NSObject
+ (NSStatusBar *)systemStatusBar;
- (NSStatusItem *)statusItemWithLength:(double)length;
@end

// source: NSWorkspace.h
@interface NSWorkspace : NSObject
+ (NSWorkspace *)sharedWorkspace;
- (BOOL)openURL:(NSURL *)url;
@end

// source: NSAlert.h
@interface NSAlert : NSObject
- (void)setMessageText:(NSString *)text;
- (void)setInformativeText:(NSString *)text;
- (NSInteger)runModal;
@end
