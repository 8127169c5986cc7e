/**
 * Candidates for the slots of the task templates; a tokenizer uses those that it writes as one token. The words of the sample checkpoints stand in the
 * list of their own kind alone: those models have never seen them anywhere else.
 */

const list = (words: string): readonly string[] => words.trim().split(/\s+/);

/** First names (Wang et al. 2023 use such a list for GPT-2). */
export const NAMES = list(`
  Mary John Tom James Dan Sid Martin Anna Kate Laura Paul Mark Alice Bob Emma Lucy Peter Sam Ruth Jack Ella Max Rose Leo Nina Hugo Ivy Adam
  Clara Felix Grace Henry Iris Jane Karl Lena Mona Noah Olga Otto Pia Ralph Sara Theo Uma Vera Walt Xena Yuri Zoe Amos Beth Carl Dora Eric
  Fay Gus Hana Ian Joan Michael Christopher Jessica Matthew Ashley Jennifer Joshua Amanda Daniel David Robert Joseph Andrew Ryan Brandon
  Jason Justin Sarah William Jonathan Stephanie Brian Nicole Nicholas Anthony Heather Elizabeth Kevin Megan Melissa Christina Rachel Kyle
  Lauren Benjamin Samuel Patrick Kelly Sean Victoria Scott Charles Thomas Steven George Richard Edward Frank Simon Helen Linda Susan Maria
  Karen Lisa Julia Diana Oliver Arthur Albert Alan Alex Chris Mike Steve Jim Joe Ben Tim Bill Ann Amy Kim Luke Philip Roger Roy Ray`);

export const PLACES = list(`
  store park school office garden market station museum library beach farm harbor hospital castle bridge theater house restaurant church
  hotel airport bank factory forest kitchen lake shop village zoo gym court club bar`);

export const OBJECTS = list(`
  drink book ring ball letter flower kiss cake map lamp coin necklace basket bone computer guitar gift key knife camera card hat phone
  picture watch box bag pen cup bottle shirt ticket toy`);

/** Ways to a place and of handing something over. */
export const GO = list('went drove walked ran came moved returned travelled');
export const GIVE = list('gave passed sent handed offered brought showed lent');

/** Events that last for years (Hanna et al. 2023 use such nouns for GPT-2). */
export const EVENTS = list(`
  war siege reign voyage famine trial strike drought mission truce plague debate project festival dynasty campaign expedition rebellion tour
  alliance attack case challenge conflict contract crisis deal decline development dispute effort epidemic exchange expansion experiment
  growth hostility improvement increase invasion investigation journey kingdom marriage negotiation operation outbreak plan practice
  process program pursuit quest relationship riot rise rivalry romance rule shift study test therapy tradition treaty trip work`);

/** Words that read as names of functions and of their arguments (Heimersheim and Janiak 2023, docstring task). */
export const FUNCTIONS = list(
  'load save port parse fetch merge send build read write open close find run test update get set call check',
);
export const ARGUMENTS = list(`
  files obj size last path mode user text index count shape value label state token cache level scale event frame group model node order
  query route score stack table width file name data key list line type host url date time color length height image option source target`);
export const DESCRIPTIONS = list(`
  oil column piece crime population unit dark rain window metal paper silver north song voice river sea plant cross grass glass stone world
  army land mountain street winter morning animal`);
