// SignPathCryptoTokenKit.app: a menu-bar item for people, or lines on a console with --foreground. What happens is decided in
// Go (core); this file shows it and passes wishes on.
#import <AppKit/AppKit.h>
#import <Foundation/Foundation.h>
#include "keychain.h"
#include "host.h"
#include <string.h>

extern int sp_prepare(int argc, char **argv, struct sp_host *host);
extern void sp_start(void);
extern void sp_stop(void);
extern void sp_reload(void);
extern void sp_wait(void);

@interface SPMenu : NSObject <NSApplicationDelegate> {
	NSStatusItem *bar;
	NSMenu *menu;
}
- (void)display:(NSArray *)status;
- (void)alert:(NSString *)text;
- (void)reload:(id)sender;
- (void)openLog:(id)sender;
- (void)quit:(id)sender;
@end

static SPMenu *menu_of_app; // nil on a console

// What stands in the menu bar, by state.
static NSString *title_of(NSString *state) {
	if ([state isEqualToString:@"ready"]) return @"SignPath \u2713";
	if ([state isEqualToString:@"failed"]) return @"SignPath \u26a0";
	return @"SignPath \u2026";
}

@implementation SPMenu
- (void)applicationDidFinishLaunching:(NSNotification *)notification {
	(void)notification;
	bar = [[[NSStatusBar systemStatusBar] statusItemWithLength:-1] retain]; // NSVariableStatusItemLength
	menu = [[NSMenu alloc] init];
	[menu setAutoenablesItems:NO];
	[bar setMenu:menu];
	[self display:[@"loading\nstarting" componentsSeparatedByString:@"\n"]];
	sp_start();
}
- (NSUInteger)applicationShouldTerminate:(id)sender {
	(void)sender;
	sp_stop();
	return NSTerminateNow;
}
- (void)addCommand:(NSString *)text action:(SEL)action key:(NSString *)key {
	[[menu addItemWithTitle:text action:action keyEquivalent:key] setTarget:self];
}
// state, text, then one line per certificate
- (void)display:(NSArray *)status {
	NSString *state = [status objectAtIndex:0], *text = [status objectAtIndex:1];
	[[bar button] setTitle:title_of(state)];
	[[bar button] setToolTip:text];
	[menu removeAllItems];
	for (NSUInteger i = 1; i < [status count]; i++)
		if ([[status objectAtIndex:i] length] > 0) [[menu addItemWithTitle:[status objectAtIndex:i] action:NULL keyEquivalent:@""] setEnabled:NO];
	[menu addItem:[NSMenuItem separatorItem]];
	[self addCommand:@"Reload" action:@selector(reload:) key:@"r"];
	[self addCommand:@"Open Log Folder" action:@selector(openLog:) key:@"l"];
	[self addCommand:@"Quit" action:@selector(quit:) key:@"q"];
}
- (void)alert:(NSString *)text {
	NSAlert *alert = [[[NSAlert alloc] init] autorelease];
	[[NSApplication sharedApplication] activateIgnoringOtherApps:YES];
	[alert setMessageText:@"SignPathCryptoTokenKit cannot start"];
	[alert setInformativeText:text];
	(void)[alert runModal];
}
- (void)reload:(id)sender {
	(void)sender;
	sp_reload();
}
- (void)openLog:(id)sender {
	(void)sender;
	NSString *folder = [NSHomeDirectory() stringByAppendingPathComponent:@"Library/Logs/SignPathCryptoTokenKit"];
	(void)[[NSWorkspace sharedWorkspace] openURL:[NSURL fileURLWithPath:folder]];
}
- (void)quit:(id)sender {
	(void)sender;
	[[NSApplication sharedApplication] terminate:self];
}
@end

static NSString *text_of(const char *c) {
	NSString *s = [NSString stringWithUTF8String:c];
	return s ? s : @"?";
}

static void show(const char *state, const char *text, const char *items) {
	if (!menu_of_app) return;
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	NSString *all = [[[[text_of(state) stringByAppendingString:@"\n"] stringByAppendingString:text_of(text)] stringByAppendingString:@"\n"]
		stringByAppendingString:text_of(items)];
	[menu_of_app performSelectorOnMainThread:@selector(display:) withObject:[all componentsSeparatedByString:@"\n"] waitUntilDone:NO];
	[pool drain];
}

static void alert(const char *text) {
	if (!menu_of_app) return;
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	[menu_of_app performSelectorOnMainThread:@selector(alert:) withObject:text_of(text) waitUntilDone:YES];
	[pool drain];
}

int main(int argc, char **argv) {
	static struct sp_host host = { sp_keychain_registered, sp_keychain_begin, sp_keychain_item, sp_keychain_commit, sp_keychain_remove,
		sp_keychain_visibility, show, alert };
	int code = sp_prepare(argc, argv, &host);
	if (code >= 0) return code;
	if (code == SP_RUN_ON_CONSOLE) { // also where there is no window server, as over ssh
		sp_start();
		sp_wait();
	}
	NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
	NSApplication *app = [NSApplication sharedApplication];
	[app setActivationPolicy:NSApplicationActivationPolicyAccessory]; // no icon in the Dock
	menu_of_app = [[SPMenu alloc] init];
	[app setDelegate:menu_of_app];
	[app run];
	[pool drain];
	return 0;
}
