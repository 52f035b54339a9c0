// A real HTTP server on this machine. What it answers, one request after the other, is a test's script; what it was
// asked is kept.
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface LocalServer {
  /** without a slash at its end */
  readonly url: string;
  /** each as 'GET /path', or 'GET /path from 5' for a part of a file */
  readonly asked: string[];
  /** The answers to come; the last one is given again and again. Forgets what was asked. */
  script(...answers: Answer[]): void;
}

/** A server for the tests of a file, or of the describe it is made in. */
export function localServer(): LocalServer {
  const asked: string[] = [];
  let answers: Answer[] = [];
  const answer: Answer = (request, response) => {
    const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    asked.push(`${request.method} ${request.url}${from === undefined ? '' : ` from ${from}`}`);
    const next = answers.length > 1 ? answers.shift()! : answers[0]!;
    next(request, response);
  };
  const server = http.createServer(answer);
  // A tunnel is asked for like a file; there are none.
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(`CONNECT ${request.url}`);
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
  });
  let port = 0;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    asked,
    script(...next) {
      answers = next;
      asked.length = 0;
    },
  };
}

export interface Serving {
  /** the version's name, sent as ETag; null sends none */
  version?: string | null;
  /** the connection breaks after so many bytes of what is sent */
  breaksAfter?: number;
  /** nothing more comes after so many bytes of what is sent */
  stallsAfter?: number;
  headers?: Record<string, string>;
}

/** Answers with a file as publishers' servers do: with the part of it that is asked for, if it is still this version. */
export const serves =
  (file: Uint8Array, { version = '"v1"', breaksAfter, stallsAfter, headers = {} }: Serving = {}): Answer =>
  (request, response) => {
    const { range, 'if-range': ifRange } = request.headers;
    const part = range !== undefined && (ifRange === undefined || ifRange === version);
    const from = part ? Number(/^bytes=(\d+)-$/.exec(range)![1]) : 0;
    if (part && from >= file.length) {
      response.writeHead(416, { 'content-range': `bytes */${file.length}` }).end();
      return;
    }
    const body = file.subarray(from);
    response.writeHead(part ? 206 : 200, {
      'content-length': body.length,
      ...(version !== null && { etag: version }),
      ...(part && { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` }),
      ...headers,
    });
    const most = breaksAfter ?? stallsAfter;
    if (most === undefined) response.end(body);
    else {
      response.write(body.subarray(0, most));
      // Later than what was sent has been read: a connection that breaks takes with it what lies unread.
      if (breaksAfter !== undefined) setTimeout(() => response.destroy(), 100);
    }
  };

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    void response.writeHead(code, headers).end('a page that explains it');

export const redirects = (to: string): Answer => status(302, { location: to });
