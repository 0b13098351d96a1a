#import <AppKit/AppKit.h>
#include <stdlib.h>

static NSString *place(NSString *name) { return [[NSString stringWithUTF8String:getenv("FAKE_CTK")] stringByAppendingPathComponent:name]; }
static void write_text(NSString *name, NSString *text) { [text writeToFile:place(name) atomically:YES encoding:NSUTF8StringEncoding error:NULL]; }
static NSStatusItem *the_item;

@interface NSApplication (Fake)
- (void)look:(NSTimer *)timer;
@end

@implementation NSApplication
+ (NSApplication *)sharedApplication {
	static NSApplication *app;
	if (!app) app = [[self alloc] init];
	return app;
}
- (BOOL)setActivationPolicy:(NSInteger)policy { return policy == NSApplicationActivationPolicyAccessory; }
- (void)setDelegate:(id)d { delegate = d; }
- (void)activateIgnoringOtherApps:(BOOL)flag { (void)flag; }
- (void)terminate:(id)sender {
	if ([delegate applicationShouldTerminate:sender] == NSTerminateNow) exit(0);
}
- (void)run {
	[delegate applicationDidFinishLaunching:nil];
	[NSTimer scheduledTimerWithTimeInterval:0.05 target:self selector:@selector(look:) userInfo:nil repeats:YES];
	for (;;) {
		NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
		[[NSRunLoop currentRunLoop] runMode:NSDefaultRunLoopMode beforeDate:[NSDate dateWithTimeIntervalSinceNow:1]];
		[pool drain];
	}
}
// Shows the menu, and clicks.
- (void)look:(NSTimer *)timer {
	NSMutableString *text = [NSMutableString stringWithFormat:@"%@\n%@\n", the_item->button->title, the_item->button->tip];
	NSString *click = [NSString stringWithContentsOfFile:place(@"click") encoding:NSUTF8StringEncoding error:NULL];
	NSEnumerator *items = [[NSArray arrayWithArray:the_item->menu->items] objectEnumerator];
	NSMenuItem *item;
	(void)timer;
	if (click) [[NSFileManager defaultManager] removeItemAtPath:place(@"click") error:NULL];
	while ((item = [items nextObject])) {
		[text appendFormat:@"%@%@\n", item->enabled ? @"" : @"  ", item->title];
		if (click && item->enabled && [item->title isEqualToString:click]) [item->target performSelector:item->action withObject:item];
	}
	write_text(@"menu.txt", text);
}
@end

@implementation NSMenuItem
+ (NSMenuItem *)separatorItem {
	NSMenuItem *i = [[[self alloc] init] autorelease];
	i->title = @"--";
	return i;
}
- (void)dealloc {
	[title release];
	[super dealloc];
}
- (void)setTarget:(id)t { target = t; }
- (void)setEnabled:(BOOL)e { enabled = e; }
@end
@implementation NSMenu
- (id)init {
	if ((self = [super init])) items = [[NSMutableArray alloc] init];
	return self;
}
- (void)setAutoenablesItems:(BOOL)automatic { (void)automatic; }
- (NSMenuItem *)addItemWithTitle:(NSString *)title action:(SEL)action keyEquivalent:(NSString *)key {
	NSMenuItem *i = [[[NSMenuItem alloc] init] autorelease];
	(void)key;
	i->title = [title copy];
	i->action = action;
	i->enabled = YES;
	[items addObject:i];
	return i;
}
- (void)addItem:(NSMenuItem *)item { [items addObject:item]; }
- (void)removeAllItems { [items removeAllObjects]; }
@end
@implementation NSStatusBarButton
- (void)setTitle:(NSString *)t {
	[title autorelease];
	title = [t copy];
}
- (void)setToolTip:(NSString *)t {
	[tip autorelease];
	tip = [t copy];
}
@end
@implementation NSStatusItem
- (id)init {
	if ((self = [super init])) button = [[NSStatusBarButton alloc] init];
	return self;
}
- (NSStatusBarButton *)button { return button; }
- (void)setMenu:(NSMenu *)m { menu = [m retain]; }
@end
@implementation NSStatusBar
+ (NSStatusBar *)systemStatusBar { return [[[self alloc] init] autorelease]; }
- (NSStatusItem *)statusItemWithLength:(double)length {
	(void)length;
	return [the_item = [[NSStatusItem alloc] init] autorelease];
}
@end
@implementation NSWorkspace
+ (NSWorkspace *)sharedWorkspace { return [[[self alloc] init] autorelease]; }
- (BOOL)openURL:(NSURL *)url {
	write_text(@"opened.txt", [url path]);
	return YES;
}
@end
@implementation NSAlert
- (void)dealloc {
	[message release];
	[more release];
	[super dealloc];
}
- (void)setMessageText:(NSString *)text { message = [text copy]; }
- (void)setInformativeText:(NSString *)text { more = [text copy]; }
- (NSInteger)runModal {
	write_text(@"alert.txt", [NSString stringWithFormat:@"%@\n%@\n", message, more]);
	return 0;
}
@end
