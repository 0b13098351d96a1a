// A menu bar without a screen: the menu stands in FAKE_CTK/menu.txt, and the title that is written to FAKE_CTK/click is chosen.
#pragma once
#import <Foundation/Foundation.h>
@protocol NSApplicationDelegate <NSObject>
- (void)applicationDidFinishLaunching:(NSNotification *)notification;
- (NSUInteger)applicationShouldTerminate:(id)sender;
@end
enum { NSTerminateCancel, NSTerminateNow, NSTerminateLater };
enum { NSApplicationActivationPolicyRegular, NSApplicationActivationPolicyAccessory };
@interface NSApplication : NSObject {
	id delegate;
}
+ (NSApplication *)sharedApplication;
- (BOOL)setActivationPolicy:(NSInteger)policy;
- (void)setDelegate:(id)delegate;
- (void)run;
- (void)terminate:(id)sender;
- (void)activateIgnoringOtherApps:(BOOL)flag;
@end
@interface NSMenuItem : NSObject {
	@public
	NSString *title;
	SEL action;
	id target;
	BOOL enabled;
}
+ (NSMenuItem *)separatorItem;
- (void)setTarget:(id)target;
- (void)setEnabled:(BOOL)enabled;
@end
@interface NSMenu : NSObject {
	@public
	NSMutableArray *items;
}
- (void)setAutoenablesItems:(BOOL)automatic;
- (NSMenuItem *)addItemWithTitle:(NSString *)title action:(SEL)action keyEquivalent:(NSString *)key;
- (void)addItem:(NSMenuItem *)item;
- (void)removeAllItems;
@end
@interface NSStatusBarButton : NSObject {
	@public
	NSString *title, *tip;
}
- (void)setTitle:(NSString *)title;
- (void)setToolTip:(NSString *)text;
@end
@interface NSStatusItem : NSObject {
	@public
	NSStatusBarButton *button;
	NSMenu *menu;
}
- (NSStatusBarButton *)button;
- (void)setMenu:(NSMenu *)menu;
@end
@interface NSStatusBar : NSObject
+ (NSStatusBar *)systemStatusBar;
- (NSStatusItem *)statusItemWithLength:(double)length;
@end
@interface NSWorkspace : NSObject
+ (NSWorkspace *)sharedWorkspace;
- (BOOL)openURL:(NSURL *)url;
@end
@interface NSAlert : NSObject {
	NSString *message, *more;
}
- (void)setMessageText:(NSString *)text;
- (void)setInformativeText:(NSString *)text;
- (NSInteger)runModal;
@end
