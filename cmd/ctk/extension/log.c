#include "log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef SP_LOG_LIMIT
#define SP_LOG_LIMIT (1 << 20)
#endif

// Makes a folder with those above it.
static void make_folders(char *path) {
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			(void)mkdir(path, 0700);
			*p = '/';
		}
	(void)mkdir(path, 0700);
}

void sp_log(const char *folder, const char *level, const char *text) {
	char path[PATH_MAX], old[PATH_MAX], line[2048], stamp[32];
	struct timeval t;
	struct tm local;
	struct stat s;
	int n = snprintf(path, sizeof path, "%s", folder);
	if (n < 0 || n > PATH_MAX - 64) return;
	make_folders(path);
	(void)snprintf(old, sizeof old, "%.*s/SignPath.CryptoProviders.CTK.Extension.1.txt", PATH_MAX - 64, folder);
	(void)snprintf(path, sizeof path, "%.*s/SignPath.CryptoProviders.CTK.Extension.txt", PATH_MAX - 64, folder);
	if (lstat(path, &s) == 0 && s.st_size > SP_LOG_LIMIT) (void)rename(path, old);
	gettimeofday(&t, NULL);
	if (!localtime_r(&t.tv_sec, &local)) return;
	(void)strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);
	n = snprintf(line, sizeof line - 1, "%s.%03d %s [%d] %s", stamp, (int)(t.tv_usec / 1000), level, (int)getpid(), text);
	if (n < 0) return;
	if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ') line[i] = ' '; // one line, whatever the text holds
	line[n] = '\n';
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) return;
	(void)!write(fd, line, (size_t)n + 1);
	close(fd);
}
