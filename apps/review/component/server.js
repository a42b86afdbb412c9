// Requests to the routes of this server, with the token of the page.

/** The server answered, and refused. 401 and 403: the page must be loaded anew; 4xx: what was sent cannot be used. */
export class Refusal extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }

  get isSessionOver() {
    return this.status === 401 || this.status === 403;
  }
}

export class Server {
  /** `base` is the address that the routes' paths follow, ending in a slash. */
  constructor(base, token) {
    this.base = base;
    this.token = token;
  }

  async picture(imageId) {
    const response = await this.#ask(`review/pictures/${imageId}`, {});
    return response.blob();
  }

  async post(path, body, options = {}) {
    const headers = { "Content-Type": "application/json" };
    const response = await this.#ask(path, { method: "POST", headers, body: JSON.stringify(body), ...options });
    return response.json();
  }

  async #ask(path, { headers = {}, ...options }) {
    const response = await fetch(this.base + path, {
      ...options,
      headers: { ...headers, Authorization: `Bearer ${this.token}` },
      credentials: "same-origin",
    });
    if (!response.ok) throw new Refusal(response.status, await reason(response));
    return response;
  }
}

async function reason(response) {
  try {
    return (await response.json()).error ?? response.statusText;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}
