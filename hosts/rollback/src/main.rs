//! A rollback game that others wrote, on the checkpoints of slab-binned: `cargo run` in this folder.
//!
//! * **ggrs** plays it: two peer-to-peer sessions, whose messages take some frames to arrive, so that each predicts the
//!   other's input and goes back when it was wrong. It asks for a saved state (a checkpoint), for an earlier one (a
//!   rollback) and for the next frame, and compares checksums (fingerprints) of what both have confirmed.
//! * **rapier** simulates it, with `enhanced-determinism`. Its world lies in blocks between two frames; `state.rs` says
//!   how, and what that does not show.
//!
//! In the first game nothing happens: both peers keep equal fingerprints through every rollback. In the second, one
//! peer reads one bit of one velocity wrongly, once. ggrs then reports the frame of a checksum that differs; a search
//! by messages finds the operation, the block and the byte. The program fails unless that operation is one of the frame
//! and of the bodies' block.

mod state;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ggrs::{
    DesyncDetection, GgrsError, GgrsEvent, GgrsRequest, Message, NonBlockingSocket, P2PSession,
    PlayerType, PredictRepeatLast, SessionBuilder, SessionState,
};
use rapier2d::prelude::*;
use slab_binned::{Checkpoint, DivergenceSearch, PeerDivergence};
use state::{Outcome, State};

const FRAMES: i32 = 300;
/// The frame in which a bit is flipped, in the second game.
const FAULT_FRAME: i32 = 150;
const FAULT_BODY: usize = 7;
const BALLS: usize = 40;
/// How many turns a message takes.
const DELAY: u64 = 4;
const MAX_PREDICTION: usize = 8;

struct Game;

impl ggrs::Config for Game {
    type Input = u8;
    type InputPredictor = PredictRepeatLast;
    type State = Checkpoint;
    type Address = usize;
}

/// Messages on their way: when they arrive, from whom, to whom.
#[derive(Default)]
struct Network {
    turn: u64,
    messages: VecDeque<(u64, usize, usize, Message)>,
}

struct Socket {
    own: usize,
    network: Rc<RefCell<Network>>,
}

impl NonBlockingSocket<usize> for Socket {
    fn send_to(&mut self, message: &Message, to: &usize) {
        let mut network = self.network.borrow_mut();
        let arrives = network.turn + DELAY;
        network.messages.push_back((arrives, self.own, *to, message.clone()));
    }

    fn receive_all_messages(&mut self) -> Vec<(usize, Message)> {
        let mut network = self.network.borrow_mut();
        let (turn, own) = (network.turn, self.own);
        let mut received = Vec::new();
        network.messages.retain(|(arrives, from, to, message)| {
            let here = *to == own && *arrives <= turn;
            if here {
                received.push((*from, message.clone()));
            }
            !here
        });
        received
    }
}

/// A pit with a heap of balls; the first two are the players.
fn fresh_world() -> PhysicsWorld {
    let mut world = PhysicsWorld::default();
    for (x, y, half_width, half_height) in
        [(0.0, -1.0, 12.0, 1.0), (-12.0, 6.0, 1.0, 8.0), (12.0, 6.0, 1.0, 8.0)]
    {
        let wall = RigidBodyBuilder::fixed().translation(Vector::new(x, y));
        world.insert(wall, ColliderBuilder::cuboid(half_width, half_height));
    }
    for ball in 0..BALLS {
        let (x, y) = ((ball % 10) as f32 * 1.1 - 5.0, (ball / 10) as f32 * 1.2 + 1.0);
        let body = RigidBodyBuilder::dynamic().translation(Vector::new(x, y)).can_sleep(false);
        world.insert(body, ColliderBuilder::ball(0.5).restitution(0.4));
    }
    world
}

fn ball(world: &mut PhysicsWorld, number: usize) -> Outcome<&mut RigidBody> {
    let handles: Vec<_> =
        world.bodies.iter().filter(|body| body.1.is_dynamic()).map(|body| body.0).collect();
    Ok(world.bodies.get_mut(*handles.get(number).ok_or("no such ball")?).ok_or("no such body")?)
}

/// The input of a player: it changes now and then, and ends before the game does, so that the last frames are as
/// predicted.
fn input_of(player: usize, frame: i32) -> u8 {
    if frame >= FRAMES - 30 {
        return 0;
    }
    (frame as usize / (6 + 5 * player) * 37 % 5) as u8
}

struct Peer {
    number: usize,
    session: P2PSession<Game>,
    state: State,
    fault: Option<i32>,
    /// Operations in the log at the start of each frame.
    starts: Vec<usize>,
    frame: i32,
    rollbacks: u32,
    again: i32,
    times: Times,
    desync: Option<i32>,
}

/// The times of saving and of going back.
#[derive(Default)]
struct Times {
    saves: Vec<Duration>,
    rollbacks: Vec<Duration>,
}

/// Returns the median in microseconds.
fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

impl Peer {
    fn new(number: usize, fault: Option<i32>, network: &Rc<RefCell<Network>>) -> Outcome<Self> {
        let session = SessionBuilder::<Game>::new()
            .with_num_players(2)?
            .with_max_prediction_window(MAX_PREDICTION)
            .with_desync_detection_mode(DesyncDetection::On { interval: 10 })
            .add_player(PlayerType::Local, number)?
            .add_player(PlayerType::Remote(1 - number), 1 - number)?
            .start_p2p_session(Socket { own: number, network: Rc::clone(network) })?;
        let mut state = State::new(&fresh_world())?;
        state.memory.set_checkpoint_limit(MAX_PREDICTION + 2);
        Ok(Self {
            number,
            session,
            state,
            fault,
            starts: Vec::new(),
            frame: 0,
            rollbacks: 0,
            again: 0,
            times: Times::default(),
            desync: None,
        })
    }

    /// Takes part in a turn: receives, and advances by a frame if ggrs permits it.
    fn turn(&mut self) -> Outcome<()> {
        self.session.poll_remote_clients();
        for event in self.session.events() {
            if let GgrsEvent::DesyncDetected { frame, .. } = event {
                self.desync.get_or_insert(frame);
            }
        }
        if self.session.current_state() != SessionState::Running || self.frame >= FRAMES {
            return Ok(());
        }
        let input = input_of(self.number, self.session.current_frame());
        self.session.add_local_input(self.number, input)?;
        match self.session.advance_frame() {
            Ok(requests) => requests.into_iter().try_for_each(|request| self.handle(request)),
            Err(GgrsError::PredictionThreshold) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn handle(&mut self, request: GgrsRequest<Game>) -> Outcome<()> {
        match request {
            GgrsRequest::SaveGameState { cell, frame } => {
                let start = Instant::now();
                let checkpoint = self.state.checkpoint()?;
                self.times.saves.push(start.elapsed());
                cell.save(frame, Some(checkpoint), Some(self.state.memory.fingerprint().into()));
            }
            GgrsRequest::LoadGameState { cell, frame } => {
                let start = Instant::now();
                self.state.memory.rollback(cell.load().ok_or("nothing was saved")?)?;
                self.times.rollbacks.push(start.elapsed());
                self.rollbacks += 1;
                self.again += self.frame - frame;
                self.frame = frame;
                self.starts.truncate(frame as usize);
            }
            GgrsRequest::AdvanceFrame { inputs } => {
                self.starts.push(self.state.memory.log().len());
                let mut world = self.state.load()?;
                if self.fault == Some(self.frame) {
                    let body = ball(&mut world, FAULT_BODY)?;
                    let velocity = body.linvel();
                    let flipped = f32::from_bits(velocity.x.to_bits() ^ 1 << 3);
                    body.set_linvel(Vector::new(flipped, velocity.y), false);
                }
                for (player, (input, _)) in inputs.into_iter().enumerate() {
                    let push = [0.0, 0.4, -0.4, 0.9, -0.2][input as usize % 5];
                    ball(&mut world, player)?.apply_impulse(Vector::new(push, push.abs()), true);
                }
                world.step();
                self.state.store(&world)?;
                self.frame += 1;
            }
        }
        Ok(())
    }
}

/// Plays a game, until one peer notices a difference or the last frame is confirmed.
fn play(fault: Option<i32>) -> Outcome<[Peer; 2]> {
    let network = Rc::new(RefCell::new(Network::default()));
    let mut peers = [Peer::new(0, None, &network)?, Peer::new(1, fault, &network)?];
    for turn in 0..1_000_000_u64 {
        network.borrow_mut().turn = turn;
        for peer in &mut peers {
            peer.turn()?;
        }
        let running =
            peers.iter().all(|peer| peer.session.current_state() == SessionState::Running);
        if !running {
            // The sessions synchronise by the clock.
            std::thread::sleep(Duration::from_millis(1));
        }
        let done = peers
            .iter()
            .all(|peer| peer.frame >= FRAMES && peer.session.confirmed_frame() >= FRAMES - 1);
        if done || peers.iter().any(|peer| peer.desync.is_some()) {
            return Ok(peers);
        }
    }
    Err("the game does not end".into())
}

fn search(ours: &State, theirs: &State) -> Outcome<(Option<PeerDivergence>, u32, usize)> {
    let mut here = DivergenceSearch::new(ours.memory.log());
    let mut there = DivergenceSearch::new(theirs.memory.log());
    let mut bytes = 0;
    while let (Some(sent), Some(received)) = (here.message(), there.message()) {
        let (sent, received) = (sent.to_vec(), received.to_vec());
        bytes += sent.len();
        here.receive(&received)?;
        there.receive(&sent)?;
    }
    Ok((here.divergence().cloned(), here.rounds(), bytes))
}

fn main() -> Outcome<()> {
    println!("a game without a fault, {FRAMES} frames:");
    let peers = play(None)?;
    for peer in &peers {
        let Peer { number, rollbacks, again, times, state, .. } = peer;
        assert_eq!(peer.desync, None, "equal states have equal fingerprints");
        println!(
            "  peer {number}: fingerprint {:016x}, {rollbacks} rollbacks, {again} frames again",
            state.memory.fingerprint()
        );
        println!(
            "    {} bytes of state; a checkpoint {:.1} µs, a rollback {:.1} µs, {} bytes for {} checkpoints",
            state.bytes(),
            median(&times.saves),
            median(&times.rollbacks),
            state.memory.checkpoint_bytes(),
            state.memory.checkpoints().count(),
        );
        assert!(*rollbacks > 0, "predictions are wrong now and then");
    }
    let [ours, theirs] = &peers;
    assert_eq!(ours.state.memory.fingerprint(), theirs.state.memory.fingerprint());
    let (found, ..) = search(&ours.state, &theirs.state)?;
    assert_eq!(found, None);

    println!("\na game in which peer 1 reads a bit wrongly in frame {FAULT_FRAME}:");
    let [ours, theirs] = &play(Some(FAULT_FRAME))?;
    let noticed = ours.desync.or(theirs.desync).ok_or("ggrs noticed nothing")?;
    println!("  ggrs: the checksums of frame {noticed} differ");
    let (found, rounds, bytes) = search(&ours.state, &theirs.state)?;
    let found = found.ok_or("no difference was found")?;
    let at = found.at().ok_or("no operation differs")?;
    let frame = ours.starts.partition_point(|&start| start <= at) as i32 - 1;
    let part = found.block().and_then(|block| ours.state.name(block)).unwrap_or("no part");
    println!(
        "  {rounds} messages from either, {bytes} bytes: operation {at}, in frame {frame}, in the {part}"
    );
    println!("  {}", found.to_string().replace('\n', "\n  "));
    assert_eq!((frame, part), (FAULT_FRAME, "bodies"));
    Ok(())
}
