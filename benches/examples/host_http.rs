//! A hyper server whose bodies are pooled, beside the same server with bodies from the allocator.
//!
//! `cargo run --release -p slab-benches --example host_http [-- --quick] [--json]`
//!
//! Clients in the same process, over the loopback, send bodies of 4 KiB to 1 MiB and compare what comes back byte for
//! byte. The server gathers a body in a buffer and answers with it as `bytes::Bytes`. The first table is how long a
//! number of requests takes, servers in turns. The last is the most memory of a separate process for each, clients
//! included, in each of ten steps: 64 clients with large bodies in the first five, two clients with small ones, and time
//! to give memory back, in the rest.

mod hosts;

use std::convert::Infallible;
use std::error::Error;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hosts::{Host, Random, mebibytes, resident_bytes, rows, timed, turn};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use slab_pool::{BufferChain, BufferPool, Zeroing};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

type Failure = Box<dyn Error + Send + Sync>;

const COLLECT: &str = "collect";
const BODIES: [&str; 6] =
    [COLLECT, "Vec", "BytesMut", "slab-pool", "slab-pool, 8 MiB", "slab-pool, chain"];
/// The size of the buffers of a chain.
const LINK_BYTES: usize = 16 << 10;
/// The most bytes of all bodies of the last server; others wait.
const OUTSTANDING_BYTES_MAX: usize = 8 << 20;
/// How long a buffer is idle before it is freed.
const DECAY: Duration = Duration::from_millis(50);
/// The read-ahead of hyper per connection; its default would dominate the last table.
const READ_AHEAD_BYTES: usize = 32 << 10;
const STEPS: usize = 10;

/// The memory of the bodies of a server.
#[derive(Clone)]
enum Bodies {
    /// As `http_body_util` does: frames are kept, and copied together if there are several.
    Collect,
    Vec,
    BytesMut,
    Pool(BufferPool),
    /// As many buffers of a small class as a body needs.
    Chain(BufferPool),
}

/// A body that was read.
enum Data {
    Bytes(Bytes),
    Chain(BufferChain),
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.remaining(),
            Self::Chain(chain) => chain.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.chunk(),
            Self::Chain(chain) => chain.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
            Self::Chain(chain) => chain.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Chain(chain) => chain.advance(count),
        }
    }
}

impl Bodies {
    fn new(index: usize) -> Self {
        let pool = |outstanding_bytes_max: Option<usize>| {
            let builder = BufferPool::builder()
                .zeroing(Zeroing::Never)
                .retained_bytes_max(16 << 20)
                .idle_decay(DECAY);
            let builder = match outstanding_bytes_max {
                Some(bytes) => builder.outstanding_bytes_max(bytes),
                None => builder,
            };
            builder.build().expect("the settings are sound")
        };
        match index {
            0 => Self::Collect,
            1 => Self::Vec,
            2 => Self::BytesMut,
            3 => Self::Pool(pool(None)),
            4 => Self::Pool(pool(Some(OUTSTANDING_BYTES_MAX))),
            _ => Self::Chain(pool(None)),
        }
    }

    /// Reads a body to its end.
    async fn read(&self, mut body: Incoming) -> Result<Data, Failure> {
        let bytes = body.size_hint().exact().ok_or("the client says how long a body is")? as usize;
        match self {
            Self::Collect => Ok(Data::Bytes(body.collect().await?.to_bytes())),
            Self::Vec => {
                let mut buffer = Vec::with_capacity(bytes);
                while let Some(frame) = body.frame().await {
                    frame?.data_ref().into_iter().for_each(|data| buffer.extend_from_slice(data));
                }
                Ok(Data::Bytes(buffer.into()))
            }
            Self::BytesMut => {
                let mut buffer = BytesMut::with_capacity(bytes);
                while let Some(frame) = body.frame().await {
                    frame?.data_ref().into_iter().for_each(|data| buffer.extend_from_slice(data));
                }
                Ok(Data::Bytes(buffer.freeze()))
            }
            Self::Chain(pool) => {
                let mut chain = BufferChain::new();
                let mut last = pool.acquire_for_write(LINK_BYTES.min(bytes));
                while let Some(frame) = body.frame().await {
                    let frame = frame?;
                    let mut data = frame.data_ref().map_or(&[][..], |data| data);
                    while !data.is_empty() {
                        if !last.has_remaining_mut() {
                            let left = bytes.saturating_sub(chain.len() + last.len());
                            let next = pool.acquire_for_write(LINK_BYTES.min(left));
                            chain.push(std::mem::replace(&mut last, next));
                        }
                        let (now, later) = data.split_at(data.len().min(last.remaining_mut()));
                        last.put_slice(now);
                        data = later;
                    }
                }
                chain.push(last);
                Ok(Data::Chain(chain))
            }
            Self::Pool(pool) => {
                let mut buffer = pool.acquire_async(bytes).await?;
                buffer.clear();
                while let Some(frame) = body.frame().await {
                    if let Some(data) = frame?.data_ref() {
                        buffer.extend_from_slice(data)?;
                    }
                }
                Ok(Data::Bytes(buffer.into()))
            }
        }
    }
}

/// Answers each request with its own body, for as long as the process runs.
fn serve(bodies: Bodies) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            if let Bodies::Pool(pool) | Bodies::Chain(pool) = bodies.clone() {
                // A pool has no thread; the server makes it decay.
                tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(DECAY).await;
                        pool.decay(Instant::now());
                    }
                });
            }
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of the loopback");
            sender.send(listener.local_addr().expect("it is bound")).expect("somebody waits");
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("an open connection");
                let bodies = bodies.clone();
                tokio::spawn(async move {
                    let answer = service_fn(move |request: Request<Incoming>| {
                        let bodies = bodies.clone();
                        async move {
                            let body =
                                bodies.read(request.into_body()).await.expect("a whole body");
                            Ok::<_, Infallible>(Response::new(Full::new(body)))
                        }
                    });
                    let mut connection = hyper::server::conn::http1::Builder::new();
                    connection.max_buf_size(READ_AHEAD_BYTES);
                    // A client that goes away ends its connection, not the server.
                    let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
    });
    receiver.recv().expect("the server is up")
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The clients of a server.
#[derive(Clone, Copy)]
struct Load {
    clients: usize,
    requests: usize,
    /// A body has one of these lengths, times up to 1.
    lengths: &'static [usize],
}

/// Sends one client's requests, one after the other, and compares the answers.
async fn client(
    server: SocketAddr,
    load: Load,
    number: usize,
    source: Bytes,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut random = Random(0x5eed + number as u64);
    for _ in 0..load.requests {
        let length = load.lengths[random.below(load.lengths.len())];
        let length = length - random.below(length / 2);
        let start = random.below(source.len() - length);
        let sent = source.slice(start..start + length);
        let request =
            Request::post("/echo").header("host", "localhost").body(Full::new(sent.clone()))?;
        let mut answer = sender.send_request(request).await?;
        let mut compared = 0;
        while let Some(frame) = answer.frame().await {
            let frame = frame?;
            let data = frame.data_ref().ok_or("an answer has a body alone")?;
            if sent.get(compared..compared + data.len()) != Some(data) {
                return Err(format!("another body came back, from byte {compared} on").into());
            }
            compared += data.len();
        }
        if compared != length {
            return Err(format!("{compared} of {length} bytes came back").into());
        }
    }
    drop(sender);
    Ok(connection.await??)
}

/// Puts a load on a server.
///
/// # Panics
///
/// If any answer is not what was sent.
fn run(runtime: &Runtime, server: SocketAddr, load: Load, source: &Bytes) {
    runtime.block_on(async {
        let start = |number| tokio::spawn(client(server, load, number, source.clone()));
        let clients: Vec<_> = (0..load.clients).map(start).collect();
        for client in clients {
            client.await.expect("no panic").expect("every answer is whole");
        }
    });
}

/// The bodies are parts of this.
fn source() -> Bytes {
    let mut random = Random(0xb0d1e5);
    (0..4 << 20).map(|_| random.below(256) as u8).collect::<Vec<_>>().into()
}

/// Runs something and returns the most bytes that were resident meanwhile, looked at every millisecond.
fn most_resident_bytes(work: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most_bytes = 0;
            while !done.load(Ordering::Relaxed) {
                most_bytes = most_bytes.max(resident_bytes().0);
                std::thread::sleep(Duration::from_millis(1));
            }
            most_bytes.max(resident_bytes().0)
        });
        work();
        done.store(true, Ordering::Relaxed);
        watch.join().expect("no panic")
    })
}

/// Memory step by step, one number a line.
fn child(index: usize, requests: usize) {
    let (runtime, server, source) = (runtime(), serve(Bodies::new(index)), source());
    for step in 0..STEPS {
        let bytes = if step < STEPS / 2 {
            let load = Load { clients: 64, requests, lengths: &[1 << 20] };
            most_resident_bytes(|| run(&runtime, server, load, &source))
        } else {
            let load = Load { clients: 2, requests: 20, lengths: &[4 << 10] };
            run(&runtime, server, load, &source);
            std::thread::sleep(2 * DECAY);
            most_resident_bytes(|| run(&runtime, server, load, &source))
        };
        println!("{bytes}");
    }
}

fn memory(index: usize, requests: usize) -> Vec<f64> {
    let program = std::env::current_exe().expect("a program has a path");
    let mut command = Command::new(program);
    command.args(["--child", &index.to_string(), &requests.to_string()]);
    let output = command.output().expect("the example can start itself");
    let text = String::from_utf8_lossy(&output.stdout);
    let steps: Vec<_> = text.lines().filter_map(|line| line.parse().ok().map(mebibytes)).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(steps.len(), STEPS, "{} ended with {}: {errors}", BODIES[index], output.status);
    steps
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, index, requests] = &arguments[..]
        && child == "--child"
    {
        let number = |text: &String| text.parse().expect("a number");
        return self::child(number(index), number(requests));
    }
    let mut host = Host::new("host_http");
    let (runtime, source) = (runtime(), source());
    let (runtime, source) = (&runtime, &source);
    for (title, lengths) in [
        ("bodies of 2 to 16 KiB", &[4 << 10, 16 << 10][..]),
        ("bodies of 32 KiB to 1 MiB", &[64 << 10, 256 << 10, 1 << 20]),
    ] {
        let requests = host.pick(5, if lengths.len() == 2 { 40 } else { 4 });
        let load = Load { clients: 8, requests, lengths };
        let turns = BODIES.iter().enumerate().map(|(index, &name)| {
            let server = serve(Bodies::new(index));
            turn(name, move || timed(|| run(runtime, server, load, source)))
        });
        let mut table = rows(turns.collect(), host.pick(1, 41), COLLECT);
        for (_, numbers) in &mut table {
            numbers.push((load.clients * load.requests) as f64 / (numbers[0] / 1e3));
        }
        let title = format!("hyper, {} clients, {title}", load.clients);
        host.table(&title, &["ms", "ratio", "requests/s"], &table);
    }
    let requests = host.pick(1, 3);
    let table: Vec<_> = (0..BODIES.len())
        .map(|index| (BODIES[index].to_owned(), memory(index, requests)))
        .collect();
    let title = "most MiB resident in each step: 1 to 5 with 64 clients, 6 to 10 with two";
    let columns: Vec<_> = (1..=STEPS).map(|step| step.to_string()).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    host.table(title, &columns, &table);
}
