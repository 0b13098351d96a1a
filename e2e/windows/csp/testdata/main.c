#include "probe.h"

int failures;

BYTE *contents(const char *file, DWORD *length)
{
	FILE *f = fopen(file, "rb");
	BYTE *b;
	NEEDS(f);
	fseek(f, 0, SEEK_END);
	*length = (DWORD)ftell(f);
	fseek(f, 0, SEEK_SET);
	b = malloc(*length + 1);
	NEEDS(fread(b, 1, *length, f) == *length);
	fclose(f);
	return b;
}

void save(const char *file, const BYTE *data, DWORD length)
{
	FILE *f = fopen(file, "wb");
	NEEDS(f);
	NEEDS(fwrite(data, 1, length, f) == length);
	fclose(f);
}

WCHAR *wide(const char *text)
{
	int n = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
	WCHAR *w = malloc(n * sizeof *w);
	MultiByteToWideChar(CP_UTF8, 0, text, -1, w, n);
	return w;
}

int main(int argc, char **argv)
{
	static const struct { const char *name; probe *run; } probes[] = {
		{"sign", sign}, {"params", params}, {"acquire", acquire}, {"refused", refused}, {"hostile", hostile}, {"message", message}, {"store", store},
		{"csplist", csplist}, {"dotnet", dotnet}, {"signtool", signtool}, {"threads", threads}, {"unload", unload}, {"many", many},
		{"registration", registration}, {"trysign", trysign},
	};
	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; argc > 1 && i < sizeof probes / sizeof *probes; i++)
		if (!strcmp(argv[1], probes[i].name)) {
			int code = probes[i].run(argc - 2, argv + 2);
			if (!code && !failures) printf("all good\n");
			return code ? code : failures;
		}
	printf("unknown probe\n");
	return 100;
}
