/** The browser's own database, as a map from names to plain values. */
const DATABASE = 'headscope';
const STORE = 'values';

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('The browser refused to store this.'));
  });
}

let opened: Promise<IDBDatabase> | undefined;

function database(): Promise<IDBDatabase> {
  if (!opened) {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => void request.result.createObjectStore(STORE);
    opened = settled(request);
  }
  return opened;
}

export async function readValue<T>(name: string): Promise<T | undefined> {
  const store = (await database()).transaction(STORE).objectStore(STORE);
  return (await settled(store.get(name))) as T | undefined;
}

/** Writes whole or not at all; resolves once it is stored. Undefined removes the value. */
export async function writeValue(name: string, value: unknown): Promise<void> {
  const transaction = (await database()).transaction(STORE, 'readwrite');
  const store = transaction.objectStore(STORE);
  if (value === undefined) store.delete(name);
  else store.put(value, name);
  await new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error('The browser refused to store this.'));
  });
}
