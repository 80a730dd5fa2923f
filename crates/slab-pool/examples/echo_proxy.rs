//! A TCP proxy in front of an echo server, all on the loopback: connections that wait hold no buffer, and the bytes in
//! flight are bounded.
//!
//! `cargo run --release -p slab-pool --example echo_proxy`

use std::io;

use slab_pool::BufferPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 50;
const MESSAGE_BYTES: usize = 100_000;
const BUFFER_BYTES: usize = 16 << 10;
/// Far fewer buffers than connections.
const BUFFERS: usize = 8;

/// Copies until the end of the input. The buffer is acquired once there is something to read.
async fn pump(pool: BufferPool, from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    loop {
        from.readable().await?;
        let mut buffer = pool.acquire_async(BUFFER_BYTES).await?;
        let count = match from.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buffer[..count]).await?;
    }
    to.shutdown().await
}

async fn serve(pool: BufferPool, listener: TcpListener, upstream: Option<std::net::SocketAddr>) {
    while let Ok((client, _)) = listener.accept().await {
        let pool = pool.clone();
        tokio::spawn(async move {
            let (from_client, to_client) = client.into_split();
            let Some(upstream) = upstream else { return pump(pool, from_client, to_client).await };
            let (from_server, to_server) = TcpStream::connect(upstream).await?.into_split();
            let there = tokio::spawn(pump(pool.clone(), from_client, to_server));
            pump(pool, from_server, to_client).await?;
            there.await.map_err(io::Error::other)?
        });
    }
}

async fn client(proxy: std::net::SocketAddr, number: usize) -> io::Result<bool> {
    let message: Vec<u8> = (0..MESSAGE_BYTES).map(|at| (at * 31 + number) as u8).collect();
    let (mut answer, mut request) = TcpStream::connect(proxy).await?.into_split();
    let sent = message.clone();
    let sender = tokio::spawn(async move {
        request.write_all(&sent).await?;
        request.shutdown().await
    });
    let mut received = Vec::new();
    answer.read_to_end(&mut received).await?;
    sender.await.map_err(io::Error::other)??;
    Ok(received == message)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    // A pump holds its buffer while its peer reads, and the peer may need one to go on: proxy and server each
    // have a pool, so that neither can take the other's last buffer.
    let pool = || BufferPool::builder().outstanding_bytes_max(BUFFERS * BUFFER_BYTES).build();
    let (proxy_pool, echo_pool) =
        (pool().map_err(io::Error::from)?, pool().map_err(io::Error::from)?);
    let echo = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = TcpListener::bind("127.0.0.1:0").await?;
    let (echo_address, proxy_address) = (echo.local_addr()?, proxy.local_addr()?);
    tokio::spawn(serve(echo_pool, echo, None));
    tokio::spawn(serve(proxy_pool.clone(), proxy, Some(echo_address)));

    let clients: Vec<_> =
        (0..CONNECTIONS).map(|number| tokio::spawn(client(proxy_address, number))).collect();
    let mut intact = 0;
    for client in clients {
        intact += usize::from(client.await.map_err(io::Error::other)??);
    }
    let stats = proxy_pool.detailed_stats();
    println!(
        "{intact} of {CONNECTIONS} connections got their {MESSAGE_BYTES} bytes back through the proxy"
    );
    println!(
        "buffers acquired: {}, allocated: {}, limit: {BUFFERS}",
        stats.totals.allocations, stats.totals.misses
    );
    assert_eq!(intact, CONNECTIONS);
    Ok(())
}
