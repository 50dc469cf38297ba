// Uploads a file from a page and waits until it has been heard; compiled by `make check`.
import type { components, operations } from "./schema";

type Wanted = components["schemas"]["Wanted"];
type Minted = components["schemas"]["Minted"];
type Taken = components["schemas"]["Taken"];
type Result = components["schemas"]["Result"];
type Failure = components["schemas"]["ErrorBody"];
type Asked = NonNullable<operations["list_recordings_v1_recordings_get"]["parameters"]["query"]>;

async function read<T>(answer: Response): Promise<T> {
  if (answer.ok) return (await answer.json()) as T;
  const { error } = (await answer.json()) as Failure;
  throw new Error(`${error.code}: ${error.message}`);
}

export async function upload(base: string, token: string, file: File): Promise<string> {
  const wanted: Wanted = { name: file.name, size: file.size, content_type: file.type };
  const minted = await read<Minted>(
    await fetch(`${base}/v1/uploads`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Earwitness-Token": token },
      body: JSON.stringify(wanted),
    }),
  );
  const { method, headers } = minted;
  const sent = await fetch(minted.url, { method, headers, body: file });
  if (!sent.ok) throw new Error(`The upload was refused with ${sent.status}.`);
  // In the cloud the bytes go to a bucket, which knows no recordings; the gateway knows its objects.
  const taken = await read<Taken>(await fetch(minted.status_url ?? minted.url));
  return taken.recording_hint;
}

export async function text(base: string, id: string): Promise<string | null> {
  const result = await read<Result>(await fetch(`${base}/v1/recordings/${id}`));
  if (result.error) throw new Error(result.error.message);
  return result.transcript?.text ?? null;
}

export const newest: Asked = { state: ["done"], limit: 10 };
